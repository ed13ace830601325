"""Fit of a model's conditioning parameters on held-out people, by masking labelled joints.

1. Sharpness: for each keypoint the temperature and the blur of the highest likelihood of the true places.
2. Shift: reach and size of the errors that a person's joints share, likewise.
3. Hypotheses: how often own, swapped and lost hold, given the student's error on the known joints: a mixture whose
   parts are known and whose weights are a logistic function.
4. Exponents of the prior and of the first round's estimates, by the mean error of the estimate.

People of `is_for_guarantee` are left out: a guarantee rests on people that nothing was fitted on.

Shapes: N people, K keypoints, S hidden joints (samples) of one round of hiding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters, KeypointParameters
from poseunion.models.codec.crop import affine_to_crop, apply_affine
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.posterior import SWAPPED, PosteriorFusion
from poseunion.models.conditioning.prior import Prior
from poseunion.models.conditioning.probability_maps import at_bins, tempered
from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.inference.predictor import Predictor
from poseunion.models.metrics import torso_lengths
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton, sideless
from poseunion.training.calibration.masking import rounds
from poseunion.training.calibration.mpii_form import predict_in_forms
from poseunion.training.calibration.samples import ViewPredictions, read_views
from poseunion.training.data.splits import is_for_guarantee, is_held_out

TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0)
BLURS = (0.004, 0.008, 0.012, 0.02, 0.03, 0.045)
ERROR_SDS, ERROR_LENGTHS = (0.0, 0.03, 0.06, 0.1), (0.35, 0.7, 1.4)
CONTEXTS, PRIORS, PICTURES = (1.0, 2.0, 100.0), (0.5, 0.7, 1.0), (0.6, 1.0)
# A keypoint's own exponents are shrunk to the pooled ones with the weight of so many samples.
PULL = 50
# Errors are clipped at so many torso lengths.
MISSED = 0.5
# Standard deviation of the Gaussian prior of the hypotheses' weights around the defaults.
WEIGHT_SD = 2.0
BLOCK = 64
# Step 4 repeats all estimates for every option: so many people are enough for a few options.
ENOUGH = 150
# Rounds that mask a single joint of each person.
SINGLES = 4


@dataclass(frozen=True)
class People:
    """Held-out people with the student's predictions.

    Attributes:
        logit_x, logit_y: (N, K, W) and (N, K, H).
        truth_crop, truth: (N, K, 2) labels in crop px and in image px.
        labelled, known: (N, K) keypoints with a known truth, and those that the model may be given.
        hidden: two lists of rounds of hiding, (R, N, K) each: joints by groups, and one at a time.
        torso_px: (N,) image px, an estimate where the torso is not labelled.
    """

    predicted: ViewPredictions
    logit_x: NDArray[np.float32]
    logit_y: NDArray[np.float32]
    truth_crop: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    known: NDArray[np.bool_]
    hidden: tuple[NDArray[np.bool_], ...]
    torso_px: NDArray[np.float64]


def held_out_people(predictor: Predictor, files: Sequence[tuple[Path, Path]]) -> People:
    """Predict the held-out people of (annotations, pictures), those with a face also in MPII's form.

    Raises:
        BadFileError: no picture of a file is held out.
    """
    skeleton = predictor.skeleton
    views = []
    for file, images in files:
        chosen = read_views(file.stem, file, images, skeleton, lambda n: is_held_out(n) and not is_for_guarantee(n))
        if not chosen:
            raise BadFileError(f"No person of {file} is held out: give the files that the model was trained on.")
        views += chosen
    # The heads of MPII's form are predicted before the fit, with the defaults.
    return people_of(predict_in_forms(predictor, views, ConditioningParameters()), skeleton)


def people_of(predicted: ViewPredictions, skeleton: Skeleton) -> People:
    """People that a fit masks, from predictions with logits."""
    assert predicted.logits is not None
    groups = [rounds(skeleton, v.person.image.name, v.person.person_id) for v in predicted.views]
    truth_crop = [
        apply_affine(xy, affine_to_crop(crop)) for xy, crop in zip(predicted.truth, predicted.crops, strict=True)
    ]
    torso = torso_lengths(predicted.truth, np.where(predicted.labelled, 2, 0), skeleton)
    usual = predicted.size * float(np.nanmedian(torso / predicted.size))
    return People(
        predicted,
        predicted.logits[0].astype(np.float32),
        predicted.logits[1].astype(np.float32),
        np.stack(truth_crop),
        predicted.labelled,
        predicted.known,
        (np.stack(groups, 1), one_at_a_time(predicted.labelled, skeleton)),
        # A torso seen from above is short; as a unit it would let one person dominate.
        np.where(np.isfinite(torso), np.maximum(torso, usual / 3), usual),
    )


def fit_tempering(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, model: str, sha256: str
) -> ConditioningParameters:
    """All four steps.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    tempering = ConditioningParameters(model=model, model_sha256=sha256, joints=sharpness(people, grid, skeleton))
    tempering = fit_shift(people, grid, skeleton, prior, tempering)
    tempering = fit_hypotheses(people, grid, skeleton, prior, tempering)
    return fit_exponents(people, grid, skeleton, prior, tempering)


def sharpness(people: People, grid: SimccGrid, skeleton: Skeleton) -> dict[str, KeypointParameters]:
    """Step 1: by keypoint without its side; one without samples gets the defaults."""
    uniform = 1 / (grid.size_wh[0] * grid.size_wh[1])
    kinds = np.array([sideless(k) for k in skeleton.keypoints])
    best: dict[str, tuple[float, KeypointParameters]] = {}
    ones = np.ones(len(skeleton))
    for temperature, blur in track(list(itertools.product(TEMPERATURES, BLURS)), "sharpness"):
        sd = ones * blur * grid.size_wh[1] * grid.split
        x, y = (tempered(logit, ones * temperature, sd) for logit in (people.logit_x, people.logit_y))
        density = _density(x, y, people.truth_crop, grid)
        for kind in np.unique(kinds):
            mine = people.labelled & (kinds == kind)
            if mine.any():
                likelihood = _with_outliers(density[mine], uniform)
                if kind not in best or likelihood > best[kind][0]:
                    best[str(kind)] = likelihood, KeypointParameters(temperature=temperature, blur=blur)
    return {kind: joint for kind, (_, joint) in best.items()}


def fit_shift(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, start: ConditioningParameters
) -> ConditioningParameters:
    """Step 2."""
    uniform = 1 / (grid.size_wh[0] * grid.size_wh[1])
    found: list[tuple[float, ConditioningParameters]] = []
    scenes = _scenes(people, grid, skeleton, prior, start)
    for sd, length in track(list(itertools.product(ERROR_SDS, ERROR_LENGTHS)), "shift"):
        option = start.model_copy(update={"error_sd": sd, "error_length": length})
        densities = []
        for rows, target, scene in scenes:
            moved = people.truth_crop[rows] - scene.shift_by(sd, length, start.error_noise)
            densities.append(_density(*scene.axes, moved, grid)[target])
        found.append((_with_outliers(np.concatenate(densities), uniform), option))
    return max(found, key=lambda pair: pair[0])[1]


def fit_hypotheses(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, start: ConditioningParameters
) -> ConditioningParameters:
    """Step 3."""
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise MissingExtraError("scipy", "train") from error
    uniform = 1 / (grid.size_wh[0] * grid.size_wh[1])
    parts: list[list[NDArray[Any]]] = []
    for rows, target, scene in _scenes(people, grid, skeleton, prior, start):
        moved = people.truth_crop[rows] - scene.shift
        mirror_gain, pair_gain = scene.swap_evidence
        n, k = np.nonzero(target)
        own = _density(*scene.axes, moved, grid)
        mirror_x, mirror_y = (axis[:, scene.mirror] for axis in scene.axes)
        swapped = _density(mirror_x, mirror_y, moved, grid)
        parts.append(
            [k, own[n, k], swapped[n, k], mirror_gain[n, k], pair_gain[n], scene.near_error[n, k], scene.paired[k]]
        )
    keypoint, own_S, swapped_S, mirror_S, pairs_S, error_S, paired_S = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    kinds = sorted(start.joints)
    kind_S = np.array([kinds.index(sideless(skeleton.keypoints[int(k)])) for k in keypoint])
    likelihood = np.stack([own_S, swapped_S * paired_S, np.full(len(own_S), uniform)], -1) + 1e-3 * uniform
    defaults = ConditioningParameters()
    rare, slopes = np.full(len(kinds), -3.0), ("swapped_mirror", "swapped_pairs", "lost_error")
    first = np.concatenate([rare, rare, [getattr(defaults, name) for name in slopes]])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        swapped0, lost0, (mirror, pairs, error) = w[: len(kinds)], w[len(kinds) : -3], w[-3:]
        logit = np.zeros_like(likelihood)
        logit[:, SWAPPED] = np.where(paired_S > 0, swapped0[kind_S] + mirror * mirror_S + pairs * pairs_S, -30.0)
        logit[:, 2] = lost0[kind_S] + error * error_S
        logit -= logit.max(-1, keepdims=True)
        weight = np.exp(logit)
        weight /= weight.sum(-1, keepdims=True)
        total = (weight * likelihood).sum(-1)
        away = weight - weight * likelihood / total[:, None]  # d loss / d logit
        away[:, SWAPPED] *= paired_S > 0
        gradient = np.concatenate(
            [np.bincount(kind_S, away[:, h], len(kinds)) for h in (SWAPPED, 2)]
            + [[away[:, SWAPPED] @ mirror_S, away[:, SWAPPED] @ pairs_S, away[:, 2] @ error_S]]
        )
        pull = (w - first) / WEIGHT_SD**2
        return float(-np.log(total).sum() + 0.5 * ((w - first) * pull).sum()), gradient + pull

    w = minimize(loss, first, jac=True, method="L-BFGS-B").x.round(4)
    joints = {
        kind: start.joints[kind].model_copy(update={"swapped": float(w[i]), "lost": float(w[len(kinds) + i])})
        for i, kind in enumerate(kinds)
    }
    weights = dict(zip(slopes, map(float, w[-3:]), strict=True))
    return start.model_copy(update={"joints": joints, **weights})


def fit_exponents(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, start: ConditioningParameters
) -> ConditioningParameters:
    """Step 4, for each keypoint: first the weight of the first round, then the experts' exponents."""
    for names, options in (
        (("context",), [(value,) for value in CONTEXTS]),
        (("picture", "prior"), list(itertools.product(PICTURES, PRIORS))),
    ):
        tried = [
            _errors(people, grid, skeleton, prior, _with(start, names, option))
            for option in track(options, " and ".join(names))
        ]
        everyone = np.array([np.nanmean(error) for error in tried])
        kinds = np.array([sideless(k) for k in skeleton.keypoints])
        joints = {}
        for kind, joint in start.joints.items():
            mine = np.stack([error[:, kinds == kind] for error in tried])
            count = int(np.isfinite(mine[0]).sum())
            own = np.nansum(mine, (1, 2)) / max(count, 1)
            # As if PULL further samples had this keypoint's mean error, and the pooled error of each option.
            merit = count * own + PULL * own[0] * everyone / everyone[0]
            joints[kind] = joint.model_copy(update=dict(zip(names, options[int(np.argmin(merit))], strict=True)))
        start = start.model_copy(update={"joints": joints})
    return start


def _with(
    tempering: ConditioningParameters, names: tuple[str, ...], values: tuple[float, ...]
) -> ConditioningParameters:
    """The same values for every keypoint."""
    update = dict(zip(names, values, strict=True))
    joints = {kind: joint.model_copy(update=update) for kind, joint in tempering.joints.items()}
    return tempering.model_copy(update={"joints": joints})


def _errors(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, tempering: ConditioningParameters
) -> NDArray[np.float64]:
    """(2 N, K) error of every hidden joint's estimate, torso lengths, at most `MISSED`; NaN where none was hidden."""
    error = np.full((len(people.hidden), *people.labelled.shape), np.nan)
    predicted = people.predicted
    for number, rows, target, known in _rounds(people, ENOUGH):
        found = fuse(
            people.logit_x[rows],
            people.logit_y[rows],
            grid,
            [predicted.crops[n] for n in rows],
            predicted.given[rows],
            known,
            prior,
            skeleton=skeleton,
            tempering=tempering,
            wanted_NK=target,
        )
        n, k = np.nonzero(target)
        distance = np.linalg.norm(found.xy_NK2[n, k] - predicted.truth[rows[n], k], axis=-1)
        error[number, rows[n], k] = np.minimum(distance / people.torso_px[rows[n]], MISSED)
    return error.reshape(-1, error.shape[-1])


def one_at_a_time(labelled_NK: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    """(SINGLES, N, K) rounds that hide one labelled joint, drawn at random, and the midpoint that follows from it."""
    rng = np.random.default_rng(0)
    order = np.where(labelled_NK, rng.random(labelled_NK.shape), -1.0).argsort(1)[:, ::-1][:, :SINGLES]
    hidden = np.arange(len(skeleton)) == order.T[..., None]
    for name, parents in skeleton.midpoints.items():
        hidden[..., skeleton.index(name)] |= hidden[..., [skeleton.index(p) for p in parents]].any(-1)
    return hidden


def _rounds(
    people: People, most: int | None = None
) -> list[tuple[int, NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Blocks of people: number of the list, rows, keypoints to predict (once a list), labelled keypoints.

    Args:
        most: so many people, drawn at random; None: all.
    """
    among = np.zeros(len(people.labelled), bool)
    among[np.random.default_rng(0).permutation(len(among))[:most]] = True
    blocks = []
    for number, several in enumerate(people.hidden):
        done = np.zeros_like(people.labelled)
        for hidden in several:
            target = people.labelled & hidden & ~done & among[:, None]
            done |= target
            rows = np.flatnonzero(target.any(1))
            for start in range(0, len(rows), BLOCK):
                part = rows[start : start + BLOCK]
                blocks.append((number, part, target[part], people.known[part] & ~hidden[part]))
    return blocks


def _scenes(
    people: People, grid: SimccGrid, skeleton: Skeleton, prior: Prior, tempering: ConditioningParameters
) -> list[tuple[NDArray[np.intp], NDArray[np.bool_], PosteriorFusion]]:
    """Blocks of people: rows, keypoints to predict, the fusion's state."""
    return [
        (
            rows,
            target,
            PosteriorFusion(
                people.logit_x[rows],
                people.logit_y[rows],
                grid,
                [people.predicted.crops[n] for n in rows],
                people.predicted.given[rows],
                known,
                prior,
                skeleton,
                tempering,
                None,
                inside=False,
            ),
        )
        for _, rows, target, known in _rounds(people)
    ]


def _density(
    x_NKW: NDArray[np.float32], y_NKH: NDArray[np.float32], xy_NK2: NDArray[np.float64], grid: SimccGrid
) -> NDArray[np.float64]:
    """(N, K) of a student's distributions at places in crop px, per square px."""
    at = xy_NK2 * grid.split
    own = np.arange(x_NKW.shape[1])
    here = at_bins(x_NKW, own, at[..., 0]) * at_bins(y_NKH, own, at[..., 1])
    return np.asarray(here * grid.split**2, np.float64)


def _with_outliers(density_S: NDArray[np.float64], uniform: float) -> float:
    """Mean log likelihood of a mixture with a uniform part, whose share maximises it."""
    share = 0.1
    for _ in range(20):
        lost = share * uniform / (share * uniform + (1 - share) * density_S)
        share = float(np.clip(lost.mean(), 1e-3, 0.9))
    return float(np.log(share * uniform + (1 - share) * density_S).mean())
