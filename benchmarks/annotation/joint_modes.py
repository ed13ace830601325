"""Choosing a hidden limb's place among several models' modes, with the labels as evidence, beside the mean and oracles.

    python benchmarks/annotation/joint_modes.py --teachers TEACHERS --work WORK

after `joint_completion.py read`, whose people and predictions it takes. A mode's score is the logarithm of the members'
votes (heights of all modes within reach) plus an exponent times that of the prior given the labels that are left;
reach and exponent are the best of the people fitted on.

Shapes: N people, K keypoints, S hidden limbs, C modes of all members, M components of the prior.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joint_completion import BATCH, SETS, TEACHERS, rows_of
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import parameters_beside
from poseunion.models.codec.crop import affine_to_crop, apply_affine, invert_affine
from poseunion.models.conditioning.posterior import PosteriorFusion
from poseunion.models.conditioning.prior import Mixture, load_prior
from poseunion.models.images import read_annotated_image
from poseunion.models.inference.joint_cells import Cells, heatmaps_of
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.metrics import PCK12, oks_radius_px
from poseunion.models.skeleton import project_indices
from poseunion.models.zoo import model_path
from poseunion.training.calibration.fit_conditioning import people_of
from poseunion.training.calibration.samples import ViewPredictions
from poseunion.training.data.arrays import concatenate, take
from poseunion.training.densities.peaks import MODES, from_heatmaps

REACHES, EXPONENTS = (0.3, 0.5, 1.0), (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
MEAN = "unified + tinypose + thunder"
# A place between cells: variance that a component of the prior has at least, crop px squared.
LEAST_VARIANCE = 3.0


@dataclass(frozen=True)
class Limbs:
    """Hidden limbs.

    Attributes:
        person: (S,) index.
        mode: (S, C, 2) image px; NaN: none. height: (S, C); prior: (S, C) density given the labels that are left.
        mean: (S, 2) place of the mean density. truth: (S, 2). radius: (S,) of OKS .5.
    """

    person: NDArray[np.intp]
    mode: NDArray[np.float64]
    height: NDArray[np.float64]
    prior: NDArray[np.float64]
    mean: NDArray[np.float64]
    truth: NDArray[np.float64]
    radius: NDArray[np.float64]

    def right(self, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(S, …) which of (S, …, 2) lie within the radius."""
        extra = (1,) * (xy.ndim - 2)
        far = np.linalg.norm(xy - self.truth.reshape(len(xy), *extra, 2), axis=-1)
        return np.asarray(far <= self.radius.reshape(-1, *extra))

    def chosen(self, reach: float, exponent: float) -> NDArray[np.float64]:
        """(S, 2) modes of the highest score."""
        apart = np.linalg.norm(self.mode[:, :, None] - self.mode[:, None], axis=-1) / self.radius[:, None, None]
        near = np.where(np.isfinite(apart), np.exp(-(apart**2) / (2 * reach**2)), 0)
        score = np.log((near * self.height[:, None]).sum(-1) + 1e-6) + exponent * np.log(self.prior + 1e-7)
        best = np.where(self.height > 0, score, -np.inf).argmax(1)
        return self.mode[np.arange(len(best)), best]


def modes_of(network: Predictor, people: ViewPredictions, to: Predictor) -> tuple[NDArray[np.float64], ...]:
    """(N, K, MODES, 2) modes in image px and (N, K, MODES) heights, 0 where the network lacks a keypoint."""
    n, k = people.labelled.shape
    xy, height = np.full((n, k, MODES, 2), np.nan), np.zeros((n, k, MODES))
    index, cells = project_indices(to.skeleton, network.skeleton), Cells.of(network)
    for start in range(0, n, network.batch_size):
        views = people.views[start : start + network.batch_size]
        pictures = [read_annotated_image(v.person.image, v.person.image_wh) for v in views]
        cut = [network.cut(picture, v.person.box_xywh) for picture, v in zip(pictures, views, strict=True)]
        heat = np.ascontiguousarray(heatmaps_of(network, network.outputs(np.stack([pixels for pixels, _ in cut]))))
        found = from_heatmaps(heat, cells.head, network.size_wh)
        found = found.mapped(np.stack([invert_affine(affine_to_crop(crop)) for _, crop in cut]))
        rows = slice(start, start + len(views))
        xy[rows][:, index], height[rows][:, index] = found.xy, found.weight * found.confidence[..., None]
    return xy, height


def density(mixture: Mixture, xy_NKC2: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, C) of a mixture at places in crop px."""
    cov = mixture.cov_NKM22 + LEAST_VARIANCE * np.eye(2)
    apart = xy_NKC2[:, :, :, None] - mixture.mean_NKM2[:, :, None]
    squared = np.einsum("nkcmi,nkmij,nkcmj->nkcm", apart, np.linalg.inv(cov), apart)
    factor = mixture.weight_NKM / (2 * np.pi * np.sqrt(np.linalg.det(cov)))
    return np.asarray((factor[:, :, None] * np.exp(-squared / 2)).sum(-1))


def limbs_of(networks: list[Predictor], people: ViewPredictions, mean: ViewPredictions) -> Limbs:
    """All hidden limbs of a set."""
    first, prior, tempering = networks[0], load_prior(), parameters_beside(model_path("unified"))
    found = [modes_of(network, people, first) for network in networks]
    xy, height = (np.concatenate(column, 2) for column in zip(*found, strict=True))
    radius = oks_radius_px(np.array([v.area for v in people.views]), first.skeleton.sigma_array)
    masked, parts = people_of(people, first.skeleton), []
    for hidden in masked.hidden[0]:
        asked = hidden & people.labelled & np.isin(first.skeleton.keypoints, PCK12)
        rows = np.flatnonzero(asked.any(1))
        for i in (rows[start : start + BATCH] for start in range(0, len(rows), BATCH)):
            crops, known = [people.crops[n] for n in i], people.known[i] & ~hidden[i]
            logits = masked.logit_x[i], masked.logit_y[i]
            fusion = PosteriorFusion(
                *logits, first.metadata.grid, crops, people.given[i], known, prior, first.skeleton, tempering, None,
                inside=False,
            )  # fmt: skip
            in_crop = np.stack([apply_affine(xy[n], affine_to_crop(crop)) for n, crop in zip(i, crops, strict=True)])
            likely, (n, k) = density(fusion.prior_of_known, in_crop), np.nonzero(asked[i])
            at = i[n], k
            places = (mean.xy[at], people.truth[at], radius[at])
            parts.append(Limbs(i[n], xy[at], height[at], np.nan_to_num(likely[n, k]), *places))
    return concatenate(parts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("teachers", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    networks = [load_predictor("unified", threads=1)]
    networks += [load_predictor(given.teachers / f"{name}.onnx", threads=1) for name in TEACHERS]
    fitted, measured = {}, {}
    for name in SETS:
        found = pickle.loads((given.work / f"{name}.pickle").read_bytes())
        limbs = limbs_of(networks, found["unified"], found[MEAN])
        apart = np.isin(limbs.person, rows_of(found["unified"], True))
        fitted[name], measured[name] = take(limbs, ~apart), take(limbs, apart)

    def merit(option: tuple[float, float]) -> float:
        return float(np.mean([limbs.right(limbs.chosen(*option)).mean() for limbs in fitted.values()]))

    best = max(itertools.product(REACHES, EXPONENTS), key=merit)
    print(f"reach {best[0]} radii, exponent {best[1]}\n")
    print("| people | each member's first | mean | votes alone | votes and labels | oracle of first | of all modes |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, limbs in measured.items():
        right = limbs.right(limbs.mode) & (limbs.height > 0)
        first = right[:, ::MODES]
        shares = [limbs.right(xy).mean() for xy in (limbs.mean, limbs.chosen(best[0], 0.0), limbs.chosen(*best))]
        shares += [first.any(1).mean(), right.any(1).mean()]
        members = ", ".join(f"{100 * v:.1f}" for v in first.mean(0))
        print(f"| {name} | {members} | {' | '.join(f'{100 * v:.1f}' for v in shares)} |")


if __name__ == "__main__":
    main()
