"""Pose prior: mixture density network for p(missing keypoints | labelled keypoints), without the picture.

A small network, fitted by `poseunion fit-prior` on poses alone, gives a mixture of Gaussians for every keypoint from
any known subset, none and all included; a joint may also be known to within a standard deviation. It works in a frame
of the person's own, so that position and size do not matter: the similarity that lays the mean pose on the known
joints, with a weak pull towards the upright pose that fills the person's box, which decides where little is known.
The direction of up in the picture is an input, so that inverted people can be recognised. The output is averaged with
the mirrored person's: left and right are exchanged exactly.

Shapes: N people, K keypoints of the prior's skeleton, M components, F input features.
"""

from __future__ import annotations

import functools
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop
from poseunion.models.errors import BadFileError, SkeletonError
from poseunion.models.files import atomic_writer, check_unpacked
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.models.zoo import WEIGHTS

PRIOR_PATH = WEIGHTS / "prior.npz"

# How much the person's box counts in the frame: its size and upright pose against the known joints' spread, in squared
# torso lengths (two hips .2, an eye and the nose .01, a whole body about 10), its centre against a joint.
BOX_PULL, CENTER_PULL = 0.05, 0.02
# A joint known to within so many torso lengths counts half of one that is labelled.
HALF_KNOWN = 0.1
# Padding of the boxes that crops are made from, mmpose's.
BOX_PADDING = 1.25
# Torso lengths to the height of a box: the median over the COCO people with all 17 keypoints.
BOX_TORSOS = 3.7
# A joint known worse than to within so many torso lengths is unknown: the prior was fitted on none worse.
UNKNOWN_FROM = 0.6
# Bounds of a component's standard deviation, torso lengths: below, labels are noise; above, nothing is known.
MIN_SD, MAX_SD = 0.01, 3.0


@dataclass(frozen=True)
class Frame:
    """Similarity transform of each person: image px = origin + scale * rotation(angle) @ frame coordinates.

    Attributes:
        origin_N2: image px.
        scale_N: px a frame unit (about a torso length).
        angle_N: radians; the person's rotation against the upright pose, x towards y.
    """

    origin_N2: NDArray[np.float64]
    scale_N: NDArray[np.float64]
    angle_N: NDArray[np.float64]

    def rotation(self) -> NDArray[np.float64]:
        """(N, 2, 2) rotation matrices."""
        cos, sin = np.cos(self.angle_N), np.sin(self.angle_N)
        return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)

    def inward(self, xy_NK2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Image px to frame coordinates."""
        moved = np.asarray(xy_NK2, np.float64) - self.origin_N2[:, None]
        return np.asarray(np.einsum("nji,nkj->nki", self.rotation(), moved) / self.scale_N[:, None, None])


@dataclass(frozen=True)
class Mixture:
    """Mixture of M Gaussians for every keypoint, image px.

    Attributes:
        weight_NKM: >= 0, summing to one.
        mean_NKM2: px.
        cov_NKM22: px^2, symmetric and positive definite.
    """

    weight_NKM: NDArray[np.float64]
    mean_NKM2: NDArray[np.float64]
    cov_NKM22: NDArray[np.float64]

    def mean(self) -> NDArray[np.float64]:
        """(N, K, 2) expected position."""
        return np.asarray((self.weight_NKM[..., None] * self.mean_NKM2).sum(-2))

    def covariance(self) -> NDArray[np.float64]:
        """(N, K, 2, 2) covariance of the whole mixture."""
        away = self.mean_NKM2 - self.mean()[..., None, :]
        spread = self.cov_NKM22 + away[..., :, None] * away[..., None, :]
        return np.asarray((self.weight_NKM[..., None, None] * spread).sum(-3))

    def keypoints(self, index: NDArray[np.intp]) -> Mixture:
        """Mixture of selected keypoints, in the order of `index`."""
        return Mixture(self.weight_NKM[:, index], self.mean_NKM2[:, index], self.cov_NKM22[:, index])

    def of(self, people: NDArray[np.intp], joints: NDArray[np.intp]) -> Mixture:
        """Mixtures of P keypoints of any people, `K` left out."""
        return Mixture(self.weight_NKM[people, joints], self.mean_NKM2[people, joints], self.cov_NKM22[people, joints])


@dataclass(frozen=True)
class Prior:
    """Fitted pose prior.

    Attributes:
        skeleton: the K keypoints' names and order.
        template_K2: the mean upright pose, torso lengths, origin at mid-hip, y down.
        layers: (weight (in, out), bias (out,)) of each layer; all but the first and the last add to their input.
        components: M of one output; the mirrored output adds as many.
    """

    skeleton: Skeleton
    template_K2: NDArray[np.float64]
    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    components: int

    def conditional(
        self,
        xy_NK2: NDArray[np.floating],
        sd_px_NK: NDArray[np.floating],
        box_center_N2: NDArray[np.floating],
        box_height_N: NDArray[np.floating],
        only_N: NDArray[np.intp] | None = None,
    ) -> Mixture:
        """Distribution of every keypoint given the known ones (of a known one itself it is meaningless).

        Args:
            xy_NK2: image px; what an unknown keypoint holds does not matter.
            sd_px_NK: standard deviation per axis: 0 for a label, infinite for an unknown keypoint.
            box_center_N2, box_height_N: image px, of the person's box or of the box that its crop shows.
            only_N: the one keypoint of each person that is wanted; the result has K = 1. None: all.
        """
        sd = np.asarray(sd_px_NK, np.float64)
        if sd.shape[1:] != (len(self.skeleton),):
            raise SkeletonError(f"The prior has {len(self.skeleton)} keypoints, not {sd.shape[1:]}.")
        center, height = np.asarray(box_center_N2, np.float64), np.asarray(box_height_N, np.float64)
        trust = trust_of(sd, height)
        xy = np.where(trust[..., None] > 0, np.asarray(xy_NK2, np.float64), 0.0)
        # The mirrored people come after the others.
        n, order, mirror = len(xy), self.skeleton.flip_indices, np.array([-1.0, 1.0])
        weight, mean, factor = self._components(
            np.concatenate([xy, xy[:, order] * mirror]),
            np.concatenate([trust, trust[:, order]]),
            np.concatenate([center, center * mirror]),
            np.concatenate([height, height]),
            None if only_N is None else np.concatenate([only_N, np.asarray(order)[only_N]]),
        )
        if only_N is None:
            weight[n:], mean[n:], factor[n:] = weight[n:, order], mean[n:, order], factor[n:, order]
        mean[n:, ..., 0] *= -1
        factor[n:, ..., 0, :] *= -1
        cov = np.empty_like(factor)
        cov[..., 0, 0] = factor[..., 0, 0] ** 2 + factor[..., 0, 1] ** 2
        cov[..., 1, 1] = factor[..., 1, 0] ** 2 + factor[..., 1, 1] ** 2
        cov[..., 0, 1] = factor[..., 0, 0] * factor[..., 1, 0] + factor[..., 0, 1] * factor[..., 1, 1]
        cov[..., 1, 0] = cov[..., 0, 1]
        return Mixture(
            np.concatenate([weight[:n], weight[n:]], -1) / 2,
            np.concatenate([mean[:n], mean[n:]], -2),
            np.concatenate([cov[:n], cov[n:]], -3),
        )

    def _components(
        self,
        xy: NDArray[np.float64],
        trust: NDArray[np.float64],
        center: NDArray[np.float64],
        height: NDArray[np.float64],
        only: NDArray[np.intp] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Weights (N, K, M), means (N, K, M, 2) and factors of covariances (N, K, M, 2, 2), image px."""
        frame = frame_of(xy, trust, center, height, self.template_K2)
        hidden = _hidden(self.layers[:-1], features(xy, trust, center, height, frame, self.template_K2))
        (weight, bias), (n, k) = self.layers[-1], trust.shape
        if only is None:
            out, template = hidden @ weight + bias, self.template_K2
        else:  # only the columns of the wanted keypoints
            out = np.empty((n, weight.shape[1] // k), np.float32)
            for keypoint in np.unique(only):
                rows, columns = only == keypoint, slice(keypoint * out.shape[1], (keypoint + 1) * out.shape[1])
                out[rows] = hidden[rows] @ weight[:, columns] + bias[columns]
            template = self.template_K2[only][:, None]
        raw = out.reshape(n, out.shape[1] // (6 * self.components), self.components, 6).astype(np.float64)
        share, mean, factor = components_of(raw, template)
        turn = (frame.rotation() * frame.scale_N[:, None, None])[:, None]
        mean = np.einsum("nij,nkmj->nkmi", turn[:, 0], mean) + frame.origin_N2[:, None, None]
        return share, mean, turn[:, :, None] @ factor


def trust_of(sd_px_NK: NDArray[np.float64], box_height_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) weight of a joint: 1 for a label, falling with its standard deviation, 0 where unknown."""
    sd = sd_px_NK / (np.maximum(box_height_N, 1e-6)[:, None] / BOX_TORSOS)
    return np.where(sd <= UNKNOWN_FROM, 1 / (1 + (sd / HALF_KNOWN) ** 2), 0.0)


def frame_of(
    xy_NK2: NDArray[np.float64],
    trust_NK: NDArray[np.float64],
    box_center_N2: NDArray[np.float64],
    box_height_N: NDArray[np.float64],
    template_K2: NDArray[np.float64],
) -> Frame:
    """Procrustes similarity from the template to the known joints, with the box's pull."""
    weight = trust_NK[..., None]
    count = weight.sum(1) + CENTER_PULL
    center_t = (template_K2.min(0) + template_K2.max(0)) / 2
    middle = ((xy_NK2 * weight).sum(1) + CENTER_PULL * box_center_N2) / count
    middle_t = ((template_K2 * weight).sum(1) + CENTER_PULL * center_t) / count
    a, t = xy_NK2 - middle[:, None], template_K2 - middle_t[:, None]
    from_box = np.maximum(box_height_N, 1e-6) / BOX_TORSOS
    spread, spread_t = (weight * a**2).sum((1, 2)), (weight * t**2).sum((1, 2))
    scale = np.sqrt((spread + BOX_PULL * from_box**2) / (spread_t + BOX_PULL))
    dot = (weight * a * t).sum((1, 2)) / scale + BOX_PULL
    cross = (trust_NK * (t[..., 0] * a[..., 1] - t[..., 1] * a[..., 0])).sum(1) / scale
    angle = np.arctan2(cross, dot)
    frame = Frame(middle, scale, angle)
    origin = middle - scale[:, None] * np.einsum("nij,nj->ni", frame.rotation(), middle_t)
    return Frame(origin, scale, angle)


def features(
    xy_NK2: NDArray[np.float64],
    trust_NK: NDArray[np.float64],
    box_center_N2: NDArray[np.float64],
    box_height_N: NDArray[np.float64],
    frame: Frame,
    template_K2: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(N, F) input features of the prior: known joints against the template, their weights, up, and the box."""
    n, known = len(xy_NK2), trust_NK > 0
    away = np.clip(frame.inward(xy_NK2) - template_K2, -4, 4) * known[..., None]
    box = np.clip(frame.inward(box_center_N2[:, None])[:, 0], -4, 4)
    size = np.log(np.maximum(box_height_N, 1e-6) / frame.scale_N / BOX_TORSOS)[:, None]
    up = np.stack([np.sin(frame.angle_N), np.cos(frame.angle_N)], -1)
    return np.concatenate(
        [away.reshape(n, 2 * known.shape[1]), known, trust_NK, up, box, np.clip(size, -3, 3)], 1
    ).astype(np.float32)


def components_of(
    raw_NKM6: NDArray[np.float64], template_K2: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mixture weights (N, K, M), means (N, K, M, 2) and Cholesky factors (N, K, M, 2, 2) from the network's output."""
    logit = raw_NKM6[..., 0] - raw_NKM6[..., 0].max(-1, keepdims=True)
    weight = np.exp(logit)
    factor = np.zeros((*raw_NKM6.shape[:-1], 2, 2))
    log_sd = np.clip(raw_NKM6[..., 3:5], np.log(MIN_SD), np.log(MAX_SD))
    factor[..., 0, 0], factor[..., 1, 1] = np.exp(log_sd[..., 0]), np.exp(log_sd[..., 1])
    factor[..., 1, 0] = raw_NKM6[..., 5] * factor[..., 1, 1]
    return weight / weight.sum(-1, keepdims=True), raw_NKM6[..., 1:3] + template_K2[..., None, :], factor


def _hidden(
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Values of the last hidden layer."""
    for number, (weight, bias) in enumerate(layers):
        z = x @ weight + bias
        z = z / (1 + np.exp(-np.clip(z, -60, 60)))  # SiLU
        x = z if number == 0 else x + z
    return x


def box_of_crops(
    crops: Sequence[Crop], padding: float = BOX_PADDING
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (N, 2) and heights (N,) of the boxes that crops were made from, image px."""
    center = np.array([crop.center_xy for crop in crops], np.float64).reshape(-1, 2)
    height = np.array([crop.image_px_per_crop_px * crop.size_wh[1] for crop in crops], np.float64) / padding
    return center, height


def save_prior(prior: Prior, path: str | Path) -> None:
    """Write a pose prior, in half precision, atomically."""
    arrays: dict[str, NDArray[np.generic]] = {
        "skeleton": np.array(prior.skeleton.name),
        "keypoints": np.array(prior.skeleton.keypoints),
        "template": prior.template_K2,
        "components": np.array(prior.components),
    }
    for number, (weight, bias) in enumerate(prior.layers):
        arrays[f"weight{number}"], arrays[f"bias{number}"] = weight.astype(np.float16), bias.astype(np.float16)
    with atomic_writer(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@functools.cache
def load_prior(path: str | Path = PRIOR_PATH) -> Prior:
    """Read the shipped pose prior, or one that `poseunion fit-prior` wrote.

    Raises:
        BadFileError: absent, or no prior.
    """
    check_unpacked(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            skeleton = load_skeleton(str(file["skeleton"]))
            if tuple(file["keypoints"].tolist()) != skeleton.keypoints:
                raise ValueError("its keypoints are not its skeleton's")
            count = sum(name.startswith("weight") for name in file)
            layers = tuple(
                (file[f"weight{i}"].astype(np.float32), file[f"bias{i}"].astype(np.float32)) for i in range(count)
            )
            return Prior(skeleton, file["template"].astype(np.float64), layers, int(file["components"]))
    except OSError as error:
        raise BadFileError(f"Cannot read the prior {path}: {error.strerror or error}.") from error
    except (ValueError, KeyError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFileError(f"{path} is not a prior that `poseunion fit-prior` wrote: {error}.") from error
