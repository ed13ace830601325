"""The joints that humans labelled as evidence for the others: picture and prior as a product of experts.

Two experts speak of a missing keypoint. The *picture*: the student's distributions over columns and rows, tempered to
be as sure as it proved to be on people it had not seen. The *prior*: what the known joints say without the picture
(`models.prior`). The known joints also tell how the student fares on this very person, because there its error can be
seen; so the picture's expert is a mixture of three hypotheses, weighed by that:

- own: the keypoint is where its channel says, corrected by the errors of the known joints (errors of one person go
  together);
- swapped: left and right are exchanged, and it is where its mirror's channel says;
- lost: the student looks at something else (another person, say), and its word is worth nothing.

posterior(u, v) is proportional to picture(u, v)^a * prior(u, v)^b on a grid of cells over the crop. The estimate is the
point of the highest expected OKS, not the highest peak.

Shapes: N people, K keypoints, W and H bins, P missing keypoints of all people, U and V cells across and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.models import simcc
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json
from poseunion.models.geometry import Crop, affine_to_crop
from poseunion.models.metrics import AREA_OF_BOX
from poseunion.models.prior import Mixture, Prior, box_of_crops, frame_of
from poseunion.models.simcc import SimccGrid
from poseunion.models.skeleton import Skeleton, mirrored, project_indices

# Cells along the longer side of the crop: 3 px of 256, a twentieth of a torso; positions are found between cells.
CELLS = 84
# Of the picture's expert, everywhere: what the student excludes altogether would otherwise stay excluded.
FLOOR = 1e-3
# The hypotheses' order in arrays.
OWN, SWAPPED, LOST = range(3)


class JointTempering(BaseModel):
    """How the student's word on one keypoint (left and right alike) is to be taken.

    Attributes:
        temperature: factor on the logits before the softmax.
        blur: standard deviation of what is added to its distribution, share of the crop's height.
        swapped, lost: log odds of the hypotheses against `own` when nothing else is known.
        picture, prior: exponents of the experts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = 1.0
    blur: float = 0.012
    swapped: float = -3.0
    lost: float = -3.0
    picture: float = 1.0
    prior: float = 1.0


class Tempering(BaseModel):
    """All that was fitted of one student on held-out people; see `training.fit_evidence`.

    Attributes:
        joints: keypoint without its side -> tempering; any other keypoint has the defaults.
        swapped_mirror: on the log odds of `swapped`, for each nat by which this keypoint's channel explains its known
            mirror better than the mirror's own channel does.
        swapped_pairs: the same for the mean of the known pairs, exchanged against straight.
        lost_error: on the log odds of `lost`, for the student's mean error on the known joints (0 none, 1 all wrong).
        error_sd, error_length: the student's errors are taken as a Gaussian process over the body: standard deviation
            and reach in torso lengths; error_noise is what every joint has for itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    model_sha256: str = ""
    joints: dict[str, JointTempering] = {}
    swapped_mirror: float = 0.5
    swapped_pairs: float = 0.5
    lost_error: float = 4.0
    error_sd: float = 0.05
    error_length: float = 0.5
    error_noise: float = 0.1

    def of(self, keypoint: str) -> JointTempering:
        """The tempering of a keypoint, left or right."""
        return self.joints.get(sideless(keypoint), JointTempering())


@dataclass(frozen=True)
class Conditioned:
    """Keypoints with the labelled ones taken into account.

    Attributes:
        xy_NK2: image px; a known keypoint is the label itself.
        sd_px_NK: image px, per axis, of the posterior; 0 where known.
        features: what tells how far to trust it, (N, K) unless said otherwise, see `FEATURES`.
    """

    xy_NK2: NDArray[np.float64]
    sd_px_NK: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]


FEATURES = {
    "near": "posterior mass within the keypoint's OKS-.5 radius of the estimate; 1 where known",
    "known_error": "(N,) the student's mean error on the known joints: 1 - OKS of them; 0.5 where none is known",
    "near_error": "the same, the joints next to the keypoint counting more",
    "swapped": "posterior share of the hypothesis that left and right are exchanged",
    "lost": "posterior share of the hypothesis that the student looks elsewhere",
    "surprise": "distance of picture and prior in units of their joint standard deviation",
    "disagreement": "distance of the picture's estimate and the prior's mean in OKS-.5 radii",
    "picture_sd_px": "image px, of the picture's expert alone",
    "prior_sd_px": "image px, of the prior alone",
    "prior_inside": "mass of the prior inside the crop (and the picture, where its size is given)",
    "known": "(N,) how many keypoints are known",
}


def sideless(keypoint: str) -> str:
    """`left_knee` -> `knee`."""
    return keypoint.removeprefix("left_").removeprefix("right_")


def read_tempering(path: str | Path) -> Tempering:
    """Read a tempering that `poseunion fit-evidence` wrote; raises BadFileError."""
    try:
        return Tempering.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} is not a tempering: {first_fault(error, 'file')}.") from error


def tempering_beside(model: str | Path) -> Tempering:
    """The tempering that lies beside a model file (`NAME.evidence.json`), else the defaults."""
    path = Path(model).with_suffix(".evidence.json")
    return read_tempering(path) if path.is_file() else Tempering()


def conditioned(
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    crops: Sequence[Crop],
    known_xy_NK2: NDArray[np.floating],
    known_NK: NDArray[np.bool_],
    prior: Prior,
    *,
    skeleton: Skeleton | None = None,
    tempering: Tempering | None = None,
    area_N: NDArray[np.floating] | None = None,
    image_wh_N2: NDArray[np.floating] | None = None,
    use_prior: bool = True,
    use_picture: bool = True,
) -> Conditioned:
    """Keypoints from the student's logits, the known joints, and the prior.

    Args:
        logit_x_NKW, logit_y_NKH: on mmpose's beta-10 scale, as the network gives them.
        crops: what each person's network input showed; upright, as `Predictor.cut` makes them.
        known_xy_NK2: image px, in the model's definitions; what an unknown keypoint holds does not matter.
        skeleton: of the K keypoints; None: the prior's. What the prior does not know is left to the picture.
        area_N: the people's areas, px^2, for OKS; None: .53 of the crop's box.
        image_wh_N2: sizes of the pictures, for `prior_inside`.
        use_prior, use_picture: off leaves an expert out, to see what each is worth.
    """
    skeleton, tempering = skeleton or prior.skeleton, tempering or Tempering()
    scene = _Scene(logit_x_NKW, logit_y_NKH, grid, crops, known_xy_NK2, known_NK, prior, skeleton, tempering, area_N)
    return scene.conclude(image_wh_N2, use_prior=use_prior, use_picture=use_picture)


class _Scene:
    """One call's arrays in crop px, so that each step below reads what it needs."""

    def __init__(
        self,
        logit_x: NDArray[np.floating],
        logit_y: NDArray[np.floating],
        grid: SimccGrid,
        crops: Sequence[Crop],
        known_xy: NDArray[np.floating],
        known: NDArray[np.bool_],
        prior: Prior,
        skeleton: Skeleton,
        tempering: Tempering,
        area: NDArray[np.floating] | None,
    ) -> None:
        self.grid, self.skeleton, self.tempering = grid, skeleton, tempering
        self.known = np.asarray(known, bool)
        self.image_xy = np.where(self.known[..., None], np.asarray(known_xy, np.float64), 0.0)
        self.affine = np.stack([affine_to_crop(crop) for crop in crops]).reshape(-1, 2, 3)
        self.px = np.array([crop.image_px_per_crop_px for crop in crops], np.float64)  # image px a crop px
        center, height = box_of_crops(crops)
        if area is None:
            area = AREA_OF_BOX * height**2 * grid.size_wh[0] / grid.size_wh[1]
        # Standard deviation of OKS's Gaussian, crop px; its value is .5 at 1.18 of them.
        self.oks_sd = 2 * skeleton.sigma_array * np.sqrt(np.asarray(area, np.float64))[:, None] / self.px[:, None]
        self.mirror = np.array([skeleton.index(mirrored(k)) for k in skeleton.keypoints])
        self.known_crop = np.einsum("nij,nkj->nki", self.affine[..., :2], self.image_xy) + self.affine[:, None, :, 2]
        self.axes = tempered(logit_x, logit_y, grid, skeleton, tempering)
        decoded, _ = simcc.decode(logit_x, logit_y, grid, refine=True)
        self.student = decoded.astype(np.float64)

        index, back = project_indices(prior.skeleton, skeleton), project_indices(skeleton, prior.skeleton)
        xy_prior = np.where((back >= 0)[:, None], self.image_xy[:, back], 0.0)
        known_prior = self.known[:, back] & (back >= 0)
        mixture = prior.conditional(xy_prior, known_prior, center, height).keypoints(np.maximum(index, 0))
        self.in_prior = index >= 0
        self.prior = _mapped(mixture, self.affine)
        frame = frame_of(xy_prior, known_prior, center, height, prior.template_K2)
        self.torso = frame.scale_N / self.px  # crop px

    # What the known joints say of the student.

    def errors(self) -> NDArray[np.float64]:
        """(N, K, 2) known minus student, torso lengths; 0 where unknown."""
        away = (self.known_crop - self.student) / self.torso[:, None, None]
        return np.where(self.known[..., None], away, 0.0)

    def wrong(self) -> NDArray[np.float64]:
        """(N, K) 1 - OKS of each known joint."""
        squared = ((self.known_crop - self.student) ** 2).sum(-1)
        return np.where(self.known, 1 - np.exp(-squared / (2 * self.oks_sd**2)), 0.0)

    def closeness(self) -> NDArray[np.float64]:
        """(N, K, K) how much one joint's error tells of another's: falls with their distance in the prior's mean."""
        place = np.where(self.known[..., None], self.known_crop, self.prior.mean())
        distance = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1) / self.torso[:, None, None]
        return np.asarray(np.exp(-0.5 * (distance / self.tempering.error_length) ** 2))

    def shift(self, closeness: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, K, 2) crop px by which the student's word is corrected: a Gaussian process over the known errors."""
        t = self.tempering
        error = self.errors()
        size = np.linalg.norm(error, axis=-1, keepdims=True)
        reach = 3 * np.hypot(t.error_sd, t.error_noise)
        # A gross error is no shift: it counts for less the larger it is.
        error = error * np.exp(-0.5 * (size / reach) ** 2)
        shared = t.error_sd**2 * closeness * self.known[:, None] * self.known[:, :, None]
        noise = np.where(self.known, t.error_noise**2, 1.0)
        solved = np.linalg.solve(shared + np.eye(self.known.shape[1]) * noise[:, None], error)
        return np.asarray((t.error_sd**2 * closeness * self.known[:, None]) @ solved * self.torso[:, None, None])

    def swap_evidence(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Nats for an exchange of left and right: (N, K) from the keypoint's known mirror, (N,) from known pairs."""
        own = self._log_at_known(np.arange(len(self.skeleton)))
        other = self._log_at_known(self.mirror)  # the mirror's channel at the known joint
        gain = np.where(self.known & (self.mirror != np.arange(len(self.skeleton))), other - own, 0.0)
        both = self.known & self.known[:, self.mirror] & (self.mirror != np.arange(len(self.skeleton)))
        pairs = (gain * both).sum(1) / np.maximum(both.sum(1), 1)
        return gain[:, self.mirror], pairs

    def _log_at_known(self, channel: NDArray[np.intp]) -> NDArray[np.float64]:
        """(N, K) log density of `channel`'s distribution at each known joint, floored."""
        x, y = (axis[:, channel] for axis in self.axes)
        at = self.known_crop * self.grid.split
        here = _interpolated(x, at[..., 0, None])[..., 0] * _interpolated(y, at[..., 1, None])[..., 0]
        return np.asarray(np.log(here + FLOOR / (x.shape[-1] * y.shape[-1])))

    def hypotheses(self, near_error: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, K, 3) log weights of own, swapped, lost, before the prior has spoken."""
        joints = [self.tempering.of(k) for k in self.skeleton.keypoints]
        mirror_gain, pair_gain = self.swap_evidence()
        swapped = (
            np.array([j.swapped for j in joints])
            + self.tempering.swapped_mirror * mirror_gain
            + self.tempering.swapped_pairs * pair_gain[:, None]
        )
        swapped = np.where(self.mirror == np.arange(len(self.skeleton)), -np.inf, swapped)
        lost = np.array([j.lost for j in joints]) + self.tempering.lost_error * near_error
        logit = np.stack([np.zeros_like(lost), swapped, lost], -1)
        logit -= logit.max(-1, keepdims=True)
        return np.asarray(logit - np.log(np.exp(logit).sum(-1, keepdims=True)))

    def conclude(self, image_wh: NDArray[np.floating] | None, *, use_prior: bool, use_picture: bool) -> Conditioned:
        """The posterior of every missing keypoint, summed up."""
        n, k = self.known.shape
        wrong, closeness = self.wrong(), self.closeness()
        near = closeness * self.known[:, None]
        near_error = _mean(wrong[:, None], near, 0.5)
        log_h, shift = self.hypotheses(near_error), self.shift(closeness)

        xy = np.where(self.known[..., None], self.known_crop, 0.0)
        sd, names = np.zeros((n, k)), ("near", "swapped", "lost", "picture_sd_px", "prior_sd_px", "prior_inside")
        found = {name: np.zeros((n, k)) for name in names}
        found["near"][self.known] = found["prior_inside"][self.known] = 1.0
        people, joints = np.nonzero(~self.known)
        bounds = self._bounds(image_wh)
        for start in range(0, len(people), 256):
            i, j = people[start : start + 256], joints[start : start + 256]
            part = self._posterior(i, j, log_h, shift, use_prior=use_prior, use_picture=use_picture, bounds=bounds)
            xy[i, j], sd[i, j] = part.pop("xy"), part.pop("sd")[..., 0]
            for name, value in part.items():
                found[name][i, j] = value[..., 0]
        to_px = self.px[:, None]
        prior_mean = self.prior.mean()
        gap = np.where(self.known | ~self.in_prior, 0.0, np.linalg.norm(self.student - prior_mean, axis=-1))
        joint_sd = np.sqrt(found["picture_sd_px"] ** 2 + found["prior_sd_px"] ** 2)
        found["surprise"] = gap / np.maximum(joint_sd, 1e-6) * ~self.known
        found["disagreement"] = gap / (self.oks_sd * OKS_HALF)
        found["near_error"] = near_error
        found["known_error"] = _mean(wrong, self.known.astype(np.float64), 0.5)
        found["known"] = self.known.sum(1).astype(np.float64)
        found["picture_sd_px"], found["prior_sd_px"] = (
            found[name] * to_px for name in ("picture_sd_px", "prior_sd_px")
        )
        inverse = np.linalg.inv(self.affine[..., :2])
        image = np.einsum("nij,nkj->nki", inverse, xy - self.affine[:, None, :, 2])
        return Conditioned(np.where(self.known[..., None], self.image_xy, image), sd * to_px, found)

    def _bounds(self, image_wh: NDArray[np.floating] | None) -> NDArray[np.float64] | None:
        """(N, 2, 2) lowest and highest crop px of the picture."""
        if image_wh is None:
            return None
        corner = np.stack([np.full((len(self.px), 2), -0.5), np.asarray(image_wh, np.float64) - 0.5], 1)
        return np.einsum("nij,ncj->nci", self.affine[..., :2], corner) + self.affine[:, None, :, 2]

    def _posterior(
        self,
        i: NDArray[np.intp],
        j: NDArray[np.intp],
        log_h: NDArray[np.float64],
        shift: NDArray[np.float64],
        *,
        use_prior: bool,
        use_picture: bool,
        bounds: NDArray[np.float64] | None,
    ) -> dict[str, NDArray[np.float64]]:
        """The estimate (P, 2) in crop px and (P, 1) summaries of P missing keypoints (person i, keypoint j)."""
        x_U, y_V, cell = cells(self.grid)
        weights = np.exp(log_h[i, j])
        layers = []
        for channel, offset in ((j, shift[i, j]), (self.mirror[j], shift[i, j])):
            across = _interpolated(self.axes[0][i, channel], (x_U - offset[:, :1]) * self.grid.split)
            down = _interpolated(self.axes[1][i, channel], (y_V - offset[:, 1:]) * self.grid.split)
            layers.append(_normalised(down)[:, :, None] * _normalised(across)[:, None, :])
        uniform = 1 / (len(x_U) * len(y_V))
        own, swapped = weights[:, OWN, None, None] * layers[OWN], weights[:, SWAPPED, None, None] * layers[SWAPPED]
        lost = weights[:, LOST, None, None] * uniform + FLOOR * uniform
        picture = own + swapped + lost
        prior = _render(
            Mixture(self.prior.weight_NKM[i, j], self.prior.mean_NKM2[i, j], self.prior.cov_NKM22[i, j]), x_U, y_V, cell
        )
        prior = np.where(self.in_prior[j][:, None, None], prior, uniform)
        chosen = [self.tempering.of(k) for k in self.skeleton.keypoints]
        a = np.array([t.picture for t in chosen])[j] * use_picture
        b = np.array([t.prior for t in chosen])[j] * use_prior
        log = a[:, None, None] * np.log(picture) + b[:, None, None] * np.log(prior + FLOOR * uniform)
        posterior = np.exp(log - log.max((1, 2), keepdims=True))
        posterior /= posterior.sum((1, 2), keepdims=True)
        kernel_sd = np.maximum(self.oks_sd[i, j], cell)
        xy = best_point(posterior, x_U, y_V, kernel_sd)
        share = posterior / picture
        inside = prior.sum((1, 2))
        if bounds is not None:
            low, high = bounds[i, 0], bounds[i, 1]
            across = ((x_U >= low[:, :1]) & (x_U <= high[:, :1])).astype(np.float64)
            down = ((y_V >= low[:, 1:]) & (y_V <= high[:, 1:])).astype(np.float64)
            inside = np.einsum("pvu,pu,pv->p", prior, across, down)
        radius = self.oks_sd[i, j] * OKS_HALF + cell / 2
        away = (x_U - xy[:, :1])[:, None, :] ** 2 + (y_V - xy[:, 1:])[:, :, None] ** 2
        return {
            "xy": xy,
            "sd": _spread(posterior, x_U, y_V)[:, None],
            "near": (posterior * (away <= radius[:, None, None] ** 2)).sum((1, 2))[:, None],
            "swapped": (share * swapped).sum((1, 2))[:, None],
            "lost": (share * lost).sum((1, 2))[:, None],
            "picture_sd_px": _spread(picture, x_U, y_V)[:, None],
            "prior_sd_px": _spread(prior, x_U, y_V)[:, None],
            "prior_inside": np.minimum(inside, 1.0)[:, None],
        }


# OKS is .5 at this many of its standard deviations.
OKS_HALF = float(np.sqrt(2 * np.log(2)))


def tempered(
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    skeleton: Skeleton,
    tempering: Tempering,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The student's distributions over both axes' bins, each keypoint as sure as its tempering allows."""
    joints = [tempering.of(k) for k in skeleton.keypoints]
    axes = []
    for logit in (logit_x_NKW, logit_y_NKH):
        temperature = np.array([j.temperature for j in joints])[:, None]
        p = simcc.softmax(np.asarray(logit) * temperature)
        bins = np.arange(p.shape[-1])
        for blur in {j.blur for j in joints}:
            mine = np.array([j.blur == blur for j in joints])
            sigma = max(blur * grid.size_wh[1] * grid.split, 1e-3)
            kernel = np.exp(-0.5 * ((bins[:, None] - bins) / sigma) ** 2)
            p[:, mine] = p[:, mine] @ (kernel / kernel.sum(1, keepdims=True))
        axes.append(p)
    return axes[0], axes[1]


def cells(grid: SimccGrid) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Centres of the cells across (U,) and down (V,), and their side, crop px."""
    width, height = grid.size_wh
    side = max(width, height) / CELLS
    across, down = (np.arange(round(length / side)) * side + (side - 1) / 2 for length in (width, height))
    return np.asarray(across), np.asarray(down), side


def best_point(
    map_PVU: NDArray[np.float64], x_U: NDArray[np.float64], y_V: NDArray[np.float64], sd_P: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(P, 2) the point of the highest expected exp(-d^2 / 2 sd^2): expected OKS where sd is OKS's own."""
    kx = np.exp(-0.5 * ((x_U[:, None] - x_U) / sd_P[:, None, None]) ** 2)
    ky = np.exp(-0.5 * ((y_V[:, None] - y_V) / sd_P[:, None, None]) ** 2)
    smooth = ky @ map_PVU @ kx
    v, u = np.divmod(smooth.reshape(len(smooth), -1).argmax(1), len(x_U))
    xy = np.stack([x_U[u], y_V[v]], -1)
    for _ in range(4):  # mean shift climbs to the point between cells
        wx = np.exp(-0.5 * ((x_U - xy[:, :1]) / sd_P[:, None]) ** 2)
        wy = np.exp(-0.5 * ((y_V - xy[:, 1:]) / sd_P[:, None]) ** 2)
        rows = np.einsum("pvu,pu->pv", map_PVU, wx)
        total = (rows * wy).sum(1)
        across = np.einsum("pvu,pu,pv->p", map_PVU, wx * x_U, wy)
        xy = np.stack([across, (rows * wy * y_V).sum(1)], -1) / total[:, None]
    return xy


def _mapped(mixture: Mixture, affine_N23: NDArray[np.float64]) -> Mixture:
    """Under each person's affine map."""
    linear = affine_N23[..., :2]
    mean = np.einsum("nij,nkmj->nkmi", linear, mixture.mean_NKM2) + affine_N23[:, None, None, :, 2]
    cov = np.einsum("nij,nkmjl,npl->nkmip", linear, mixture.cov_NKM22, linear)
    return Mixture(mixture.weight_NKM, mean, cov)


def _render(mixture: Mixture, x_U: NDArray[np.float64], y_V: NDArray[np.float64], cell: float) -> NDArray[np.float64]:
    """(P, V, U) mass of P mixtures in each cell; a component narrower than a cell is widened to it."""
    xx, xy, yy = (mixture.cov_NKM22[..., a, b] for a, b in ((0, 0), (0, 1), (1, 1)))
    xx, yy = xx + cell**2 / 12, yy + cell**2 / 12
    determinant = xx * yy - xy**2
    factor = mixture.weight_NKM * cell**2 / (2 * np.pi * np.sqrt(determinant))
    result = np.zeros((len(xx), len(y_V), len(x_U)))
    for m in range(xx.shape[-1]):
        dx, dy = x_U - mixture.mean_NKM2[:, m, :1], y_V - mixture.mean_NKM2[:, m, 1:]
        p, q, r = (v[:, m, None] / determinant[:, m, None] for v in (yy, xy, xx))
        exponent = (p * dx**2)[:, None, :] + (r * dy**2)[:, :, None] - 2 * (q * dx)[:, None, :] * dy[:, :, None]
        result += factor[:, m, None, None] * np.exp(-0.5 * exponent)
    return result


def _interpolated(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation along the last axis at fractional indices `at` (same leading shape); 0 outside."""
    last = values.shape[-1] - 1
    low = np.clip(np.floor(at), 0, last - 1).astype(np.intp)
    part = at - low
    a, b = np.take_along_axis(values, low, -1), np.take_along_axis(values, low + 1, -1)
    return np.where((at >= -0.5) & (at <= last + 0.5), np.maximum(a + part * (b - a), 0.0), 0.0)


def _normalised(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(p / np.maximum(p.sum(-1, keepdims=True), 1e-12))


def _spread(map_PVU: NDArray[np.float64], x_U: NDArray[np.float64], y_V: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) standard deviation per axis."""
    total = np.maximum(map_PVU.sum((1, 2)), 1e-12)
    px, py = map_PVU.sum(1) / total[:, None], map_PVU.sum(2) / total[:, None]
    var_x = (px * x_U**2).sum(1) - (px * x_U).sum(1) ** 2
    var_y = (py * y_V**2).sum(1) - (py * y_V).sum(1) ** 2
    return np.sqrt(np.maximum((var_x + var_y) / 2, 0.0))


def _mean(value: NDArray[np.float64], weight: NDArray[np.float64], nobody: float) -> NDArray[np.float64]:
    """Weighted mean over the last axis; `nobody` counts a little, and alone where no weight is."""
    little = 0.1
    return np.asarray(((value * weight).sum(-1) + little * nobody) / (weight.sum(-1) + little))
