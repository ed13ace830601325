"""Fit of the prior p(missing | known joints), see `models.conditioning.prior`.

In every step each person is turned at random and gets a box like those that crops are made from; some labelled joints
are hidden, and the network predicts them. Some others are displaced, as predictions of a student are. A joint that a
dataset lacks is neither input nor target.

Shapes: B people of a batch, K keypoints, M components.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poseunion.models.conditioning.prior import (
    BOX_TORSOS,
    MAX_SD,
    MIN_SD,
    UNKNOWN_FROM,
    Frame,
    Prior,
    features,
    frame_of,
    trust_of,
)
from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.metrics import torso_lengths
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton
from poseunion.training.data.arrays import take
from poseunion.training.data.pose_files import Skeletons

if TYPE_CHECKING:
    import torch

# Joints that MPII, COCO and LSP share: the usual labels when the others are predicted.
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
HEAD = ("upper_neck", "head_top", *FACE)


@dataclass(frozen=True)
class PriorConfig:
    """How the prior is fitted.

    Attributes:
        width, layers: of the network; `components` Gaussians a keypoint.
        blurred: share of people with some joints displaced, by a standard deviation between the two of `blur` (torso
            lengths).
        turned: share of people turned by any angle; the others by `tilt_deg` (standard deviation).
        learning_rate: of AdamW, falling to zero along a cosine.
    """

    width: int = 256
    layers: int = 3
    components: int = 3
    steps: int = 12000
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    blurred: float = 0.5
    blur: tuple[float, float] = (0.02, UNKNOWN_FROM)
    turned: float = 0.3
    tilt_deg: float = 15.0
    seed: int = 0


def mean_pose(people: Skeletons, skeleton: Skeleton) -> NDArray[np.float64]:
    """(K, 2) median of the upright people's joints, torso lengths, origin at mid-hip, left and right made equal.

    Raises:
        BadArgumentError: a keypoint is labelled on no upright person with a torso.
    """
    corners = [skeleton.index(f"{side}_{part}") for part in ("shoulder", "hip") for side in ("left", "right")]
    xy, known = people.xy_NK2.astype(np.float64), people.known_NK
    shoulders, hips = xy[:, corners[:2]].mean(1), xy[:, corners[2:]].mean(1)
    torso = np.linalg.norm(shoulders - hips, axis=-1)
    upright = known[:, corners].all(1) & (torso > 1) & (hips[:, 1] - shoulders[:, 1] > 0.9 * torso)
    pose = (xy[upright] - hips[upright, None]) / torso[upright, None, None]
    pose = np.where(known[upright, :, None], pose, np.nan)
    if absent := [name for name, found in zip(skeleton.keypoints, known[upright].any(0), strict=True) if not found]:
        raise BadArgumentError(f"No upright person with a torso has {absent[0]}: add a file in which it is labelled.")
    middle = np.nanmedian(pose, 0)
    return np.asarray((middle + middle[skeleton.flip_indices] * [-1, 1]) / 2)


class Masks:
    """Random choice of the labelled joints that are shown."""

    def __init__(self, skeleton: Skeleton) -> None:
        def named(names: tuple[str, ...]) -> NDArray[np.bool_]:
            return np.array([k in names or k.split("_", 1)[-1] in names for k in skeleton.keypoints], bool)

        limbs = named(LIMBS)
        self._midpoints = [(skeleton.index(k), [skeleton.index(p) for p in ps]) for k, ps in skeleton.midpoints.items()]
        coco, mpii = limbs | named(FACE), limbs | named(("upper_neck", "head_top", *skeleton.midpoints))
        parts = [named(HEAD), named(("elbow", "wrist")), named(("knee", "ankle")), named(("hip", "knee", "ankle"))]
        parts += [np.array([k.startswith(side) for k in skeleton.keypoints]) for side in ("left_", "right_")]
        self.views = np.stack([limbs, coco, mpii])
        self.parts = np.stack(parts)

    def draw(self, rng: np.random.Generator, known_BK: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(B, K) shown joints: all of a data set's but one, a data set's, all but a part of the body, or any."""
        b, k = known_BK.shape
        view = self.views[rng.integers(len(self.views), size=b)] | (rng.random((b, 1)) < 0.3)
        order = np.where(known_BK, rng.random((b, k)), -1.0)
        one = np.arange(k) != order.argmax(1)[:, None]
        part = ~self.parts[rng.integers(len(self.parts), size=b)]
        any_of = rng.random((b, k)) < rng.random((b, 1))
        kinds = np.stack([view & one, view, view & part, any_of])
        kept = kinds[rng.choice(4, size=b, p=[0.35, 0.25, 0.1, 0.3]), np.arange(b)]
        shown = known_BK & kept
        # A midpoint is a target only where a parent is hidden: else it is arithmetic.
        for middle, _ in self._midpoints:
            shown[:, middle] &= rng.random(b) < 0.5
        return shown

    def targets(self, known_BK: NDArray[np.bool_], shown_BK: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(B, K) joints to predict: labelled, hidden, and not the midpoint of two shown ones."""
        target = known_BK & ~shown_BK
        for middle, parents in self._midpoints:
            target[:, middle] &= ~shown_BK[:, parents].all(1)
        return target


def turned(
    rng: np.random.Generator, people: Skeletons, config: PriorConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(B, K, 2) people turned about their box's centre, with the crop's centre (B, 2) and height (B,)."""
    b = len(people)
    xy, known = people.xy_NK2.astype(np.float64), people.known_NK[..., None]
    low, high = np.where(known, xy, np.inf).min(1), np.where(known, xy, -np.inf).max(1)
    stated = people.box_N4.astype(np.float64)
    given = np.isfinite(stated).all(1, keepdims=True) & (stated[:, 2:] > 1).all(1, keepdims=True)
    middle = np.where(given, stated[:, :2] + stated[:, 2:] / 2, (low + high) / 2)
    wh = np.where(given, stated[:, 2:], (high - low) * rng.uniform(1.05, 1.4, (b, 1)) + 2)
    angle = np.where(
        rng.random(b) < config.turned, rng.uniform(-np.pi, np.pi, b), np.deg2rad(config.tilt_deg) * rng.normal(size=b)
    )
    turn = Frame(np.zeros((b, 2)), np.ones(b), angle).rotation()
    xy = np.einsum("nij,nkj->nki", turn, xy - middle[:, None])
    wh = np.einsum("nij,nj->ni", np.abs(turn), wh)
    height = np.maximum(wh[:, 1], wh[:, 0] * 4 / 3)
    center = rng.normal(size=(b, 2)) * 0.05 * height[:, None]
    return xy * known, center, height * np.exp(0.15 * rng.normal(size=b))


def log_likelihood(raw_BKM6: torch.Tensor, target_BK2: torch.Tensor) -> torch.Tensor:
    """(B, K) log density of the target (template taken off) under the network's mixtures; see `prior.components_of`."""
    import torch

    log_weight = torch.log_softmax(raw_BKM6[..., 0], -1)
    log_sd = raw_BKM6[..., 3:5].clamp(float(np.log(MIN_SD)), float(np.log(MAX_SD)))
    away = target_BK2[:, :, None] - raw_BKM6[..., 1:3]
    # Inverse of the Cholesky factor [[a, 0], [c b, b]].
    u = away[..., 0] * torch.exp(-log_sd[..., 0])
    v = away[..., 1] * torch.exp(-log_sd[..., 1]) - raw_BKM6[..., 5] * u
    log_density = -0.5 * (u**2 + v**2) - log_sd.sum(-1) - float(np.log(2 * np.pi))
    return torch.logsumexp(log_weight + log_density, -1)


def fit_prior(people: Skeletons, skeleton: Skeleton, config: PriorConfig) -> Prior:
    """Fit a prior on one thread.

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "train") from error
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    template, masks, k = mean_pose(people, skeleton), Masks(skeleton), len(skeleton)
    inputs, outputs = 4 * k + 5, k * config.components * 6
    sizes = [inputs, *[config.width] * config.layers, outputs]
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    with torch.no_grad():
        layers[-1].weight.mul_(0.1)
        bias = layers[-1].bias.view(k, config.components, 6)
        bias.zero_()
        # Components begin narrow, middling and wide, so that they specialise.
        bias[..., 3:5] = torch.log(torch.logspace(-1, 0, config.components))[None, :, None]
    optimiser = torch.optim.AdamW(
        [p for layer in layers for p in layer.parameters()],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    warm = max(1, config.steps // 50)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1.0, (i + 1) / warm) * 0.5 * (1 + np.cos(np.pi * i / config.steps))
    )
    files = [np.flatnonzero(people.source == number) for number in np.unique(people.source)]
    # People of a file are drawn in proportion to the root of its size, so that COCO's 140,000 people do not dominate.
    share = np.sqrt([len(file) for file in files])
    for _ in track(range(config.steps), "prior"):
        counts = rng.multinomial(config.batch_size, share / share.sum())
        chosen = np.concatenate([rng.choice(file, count) for file, count in zip(files, counts, strict=True)])
        given, target, predicted = training_batch(rng, take(people, chosen), masks, template, config)
        x = torch.from_numpy(given)
        for number, layer in enumerate(layers[:-1]):
            z = torch.nn.functional.silu(layer(x))
            x = z if number == 0 else x + z
        raw = layers[-1](x).view(-1, k, config.components, 6)
        likelihood = log_likelihood(raw, torch.from_numpy(target))
        weight = torch.from_numpy(predicted.astype(np.float32))
        loss = -(likelihood.clamp(min=-20) * weight).sum() / weight.sum().clamp(min=1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for layer in layers for p in layer.parameters()], 1.0)
        optimiser.step()
        schedule.step()
    arrays = tuple((layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()) for layer in layers)
    return Prior(skeleton, template, arrays, config.components)


def training_batch(
    rng: np.random.Generator, batch: Skeletons, masks: Masks, template: NDArray[np.float64], config: PriorConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Network input (B, F), targets in its frame less the template (B, K, 2), and the mask of predicted joints."""
    xy, center, height = turned(rng, batch, config)
    b, k = batch.known_NK.shape
    some = (rng.random((b, k)) < 0.6 * rng.random((b, 1))) & (rng.random((b, 1)) < config.blurred)
    blurred = batch.known_NK & some
    shown = masks.draw(rng, batch.known_NK & ~blurred)
    low, high = np.log(config.blur)
    middle = rng.uniform(low, high, (b, 1)) + 0.4 * rng.normal(size=(b, k))
    sd = np.exp(np.clip(middle, low, high)) * height[:, None] / BOX_TORSOS
    # One in ten has three times the standard deviation, as students' errors have heavy tails.
    wild = np.where(rng.random((b, k)) < 0.1, 3.0, 1.0)
    placed = xy + blurred[..., None] * (sd * wild)[..., None] * rng.normal(size=(b, k, 2))
    placed = np.where((shown | blurred)[..., None], placed, 0.0)
    trust = trust_of(np.where(shown, 0.0, np.where(blurred, sd, np.inf)), height)
    frame = frame_of(placed, trust, center, height, template)
    given = features(placed, trust, center, height, frame, template)
    target = np.clip(frame.inward(xy) - template, -6, 6).astype(np.float32)
    return given, target, masks.targets(batch.known_NK & ~blurred, shown)


def held_out_error(prior: Prior, people: Skeletons) -> dict[str, float]:
    """Keypoint -> median error, torso lengths, predicted from the person's other labelled joints.

    People without a torso do not count, nor keypoints without such people. A midpoint is predicted without its parents,
    and a parent without the midpoint. At most 2,000 people, drawn at random.
    """
    skeleton = prior.skeleton
    people = take(people, np.random.default_rng(0).permutation(len(people))[:2000])
    xy, known = people.xy_NK2.astype(np.float64), people.known_NK
    torso = torso_lengths(xy, np.where(known, 2, 0), skeleton)
    rng, plain = np.random.default_rng(0), PriorConfig(turned=0.0, tilt_deg=0.0)
    centered, center, height = turned(rng, people, plain)
    result = {}
    for k, name in enumerate(skeleton.keypoints):
        rows = known[:, k] & (torso > 1)
        tied = [skeleton.index(p) for p in skeleton.midpoints.get(name, ())]
        tied += [skeleton.index(m) for m, parents in skeleton.midpoints.items() if name in parents]
        shown = known[rows] & ~np.isin(np.arange(len(skeleton)), [k, *tied])
        if len(shown):
            sd = np.where(shown, 0.0, np.inf)
            found = prior.conditional(centered[rows], sd, center[rows], height[rows]).mean()[:, k]
            result[name] = float(np.median(np.linalg.norm(found - centered[rows, k], axis=-1) / torso[rows]))
    return result
