"""Posterior maps of missing keypoints: tempered SimCC distributions times a pose prior, with errors at labelled ones.

Shapes: N people, K keypoints, W and H bins, P missing keypoints of all people, U and V cells across and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec import simcc
from poseunion.models.codec.crop import Crop, affine_to_crop
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.prior import BOX_PADDING, Mixture, Prior, box_of_crops, frame_of, trust_of
from poseunion.models.conditioning.probability_maps import (
    OKS_HALF,
    CropGrid,
    at_bins,
    best_point,
    cumulated,
    marginals,
    mass_around,
    mass_between,
    mass_in_cells,
    moments,
    prior_map,
    tempered,
)
from poseunion.models.metrics import AREA_OF_BOX
from poseunion.models.skeleton import Skeleton, mirrored, project_indices

# Share of the picture's distribution that is uniform, so that no place has a probability of 0.
FLOOR = 1e-3
# The picture's estimate of a missing keypoint conditions others only if it adds this share of the prior's precision.
LITTLE = 0.2
# Cells of the maps that are worked on at a time, 24 keypoints of 84 x 63 cells: they stay in the second cache (twice as
# fast as 128 keypoints), and 8 COCO people with the 2.5 keypoints each that `extend` proposes make one chunk.
CHUNK_CELLS = 24 * 84 * 63
# The hypotheses' order in arrays.
OWN, SWAPPED, LOST = range(3)
_MOMENTS = ("mean_x", "mean_y", "sd_px")
_SUMMARIES = (*_MOMENTS, "x", "y", "near", "swapped", "lost", "picture_sd_px", "prior_sd_px", "prior_inside")


class PosteriorFusion:
    """Arrays of one `fusion.fuse` call in crop px, the student's errors at known joints, and the posteriors."""

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
        tempering: ConditioningParameters,
        area: NDArray[np.floating] | None,
        *,
        inside: bool,
    ) -> None:
        self.summaries = (*_SUMMARIES, "inside") if inside else _SUMMARIES
        self.skeleton, self.tempering, self.prior, self.split = skeleton, tempering, prior, grid.split
        self.known = np.asarray(known, bool)
        self.image_xy = np.where(self.known[..., None], np.asarray(known_xy, np.float64), 0.0)
        self.affine = np.array([affine_to_crop(crop) for crop in crops], np.float64).reshape(-1, 2, 3)
        self.px = np.array([crop.image_px_per_crop_px for crop in crops], np.float64)  # image px a crop px
        center, height = box_of_crops(crops)
        if area is None:
            width, box_height = grid.size_wh[0] / BOX_PADDING, grid.size_wh[1] / BOX_PADDING
            root = np.full(len(self.px), np.sqrt(AREA_OF_BOX * width * box_height))
        else:
            root = np.sqrt(np.asarray(area, np.float64)) / self.px
        # Standard deviation of OKS's Gaussian, crop px.
        self.oks_sd = 2 * skeleton.sigma_array * root[:, None]
        self.mirror = np.array([skeleton.index(mirrored(k)) for k in skeleton.keypoints])
        self.paired = self.mirror != np.arange(len(skeleton))
        # The prior works in crop px: its output needs no rotation back.
        self.xy = self._to_crop(self.image_xy)
        self.center, self.height = self._to_crop(center[:, None])[:, 0], height / self.px
        self.joints = [tempering.of(k) for k in skeleton.keypoints]
        temperature = np.array([j.temperature for j in self.joints])
        blur = np.array([j.blur for j in self.joints]) * grid.size_wh[1] * grid.split
        self.axes = tempered(logit_x, temperature, blur), tempered(logit_y, temperature, blur)
        self.exponents = np.array([[j.picture, j.prior] for j in self.joints], np.float32).reshape(-1, 2)
        student, self.score = simcc.decode(logit_x, logit_y, grid, refine=True)
        self.student = student.astype(np.float64)
        self.index = project_indices(prior.skeleton, skeleton)
        self.back = project_indices(skeleton, prior.skeleton)
        self.in_prior = self.index >= 0

    def _to_crop(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("nij,nkj->nki", self.affine[..., :2], xy) + self.affine[:, None, :, 2])

    @cached_property
    def torso(self) -> NDArray[np.float64]:
        """(N,) torso lengths in crop px: the unit of the prior's frame."""
        xy, sd = self._for_prior(self.xy, np.where(self.known, 0.0, np.inf))
        trust = trust_of(sd, self.height)
        return frame_of(xy * (trust > 0)[..., None], trust, self.center, self.height, self.prior.template_K2).scale_N

    # The prior.

    def _for_prior(
        self, xy: NDArray[np.float64], sd: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, K, …) in the prior's keypoint order; keypoints that the model lacks are unknown."""
        absent = self.back < 0
        return xy[:, self.back], np.where(absent, np.inf, sd[:, self.back])

    @cached_property
    def prior_of_known(self) -> Mixture:
        """Prior of all keypoints given the known ones."""
        xy, sd = self._for_prior(self.xy, np.where(self.known, 0.0, np.inf))
        mixture = self.prior.conditional(xy, sd, self.center, self.height)
        return mixture.keypoints(np.maximum(self.index, 0))

    @cached_property
    def mean_of_known(self) -> NDArray[np.float64]:
        """(N, K, 2) mean of `prior_of_known`."""
        return self.prior_of_known.mean()

    @cached_property
    def covariance_of_known(self) -> NDArray[np.float64]:
        """(N, K, 2, 2) covariance of `prior_of_known`."""
        return self.prior_of_known.covariance()

    def prior_in_context(
        self, people: NDArray[np.intp], joints: NDArray[np.intp], first: dict[str, NDArray[np.float64]]
    ) -> Mixture:
        """Prior of P keypoints given the known ones and the picture's estimates of the other missing ones.

        Args:
            people, joints: (P,) the keypoints, as `listed` orders them.
            first: posteriors of all missing keypoints, without context.
        """
        estimate, estimate_sd = self._picture_estimates(first)
        xy = np.where(self.known[..., None], self.xy, estimate)[people]
        context = np.array([joint.context for joint in self.joints])
        sd = np.where(self.known, 0.0, estimate_sd)[people] * context[joints, None]
        sd[np.arange(len(people)), joints] = np.inf
        xy_prior, sd_prior = self._for_prior(xy, sd)
        only = np.maximum(self.index, 0)[joints]
        mixture = self.prior.conditional(xy_prior, sd_prior, self.center[people], self.height[people], only)
        # If conditioning increases the covariance, the context is outside the prior's training data: it is left out.
        before, after = self.covariance_of_known[people, joints], mixture.covariance()[:, 0]
        helped = np.trace(after, axis1=-2, axis2=-1) < np.trace(before, axis1=-2, axis2=-1)
        plain = self.prior_of_known
        return Mixture(
            np.where(helped[:, None], mixture.weight_NKM[:, 0], plain.weight_NKM[people, joints]),
            np.where(helped[:, None, None], mixture.mean_NKM2[:, 0], plain.mean_NKM2[people, joints]),
            np.where(helped[:, None, None, None], mixture.cov_NKM22[:, 0], plain.cov_NKM22[people, joints]),
        )

    def _picture_estimates(
        self, first: dict[str, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, K, 2) mean and (N, K) standard deviation, crop px, of the posterior divided by the prior.

        Gaussians stand for both (a message of expectation propagation, Minka 2001): without the division the known
        joints would count twice. Where the picture adds little, the standard deviation is infinite.
        """
        prior_mean = self.mean_of_known
        prior_precision = 2 / np.trace(self.covariance_of_known, axis1=-2, axis2=-1)
        with np.errstate(divide="ignore"):
            precision = 1 / first["sd_px"] ** 2
        gained = precision - prior_precision
        useful = np.isfinite(gained) & (gained > LITTLE * prior_precision)
        gained, precision = np.where(useful, gained, 1.0), np.where(useful, precision, 0.0)
        mean = np.stack([first["mean_x"], first["mean_y"]], -1)
        place = (precision[..., None] * mean - prior_precision[..., None] * prior_mean) / gained[..., None]
        sd = np.where(useful, 1 / np.sqrt(gained), np.inf)
        return np.where(useful[..., None], place, 0.0), sd

    # The student's errors at the known joints.

    @cached_property
    def wrong(self) -> NDArray[np.float64]:
        """(N, K) error 1 - OKS of the student's peak at each known joint; 0 where unknown."""
        squared = ((self.xy - self.student) ** 2).sum(-1)
        return np.where(self.known, 1 - np.exp(-squared / (2 * self.oks_sd**2)), 0.0)

    @cached_property
    def closeness(self) -> NDArray[np.float64]:
        """(N, K, K) correlation of two joints' errors: falls with their distance in the prior's mean."""
        return np.asarray(np.exp(-0.5 * (self.distance / self.tempering.error_length) ** 2))

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """(N, K, K) distance between joints, torso lengths; unknown ones are at the prior's mean."""
        place = np.where(self.known[..., None], self.xy, self.mean_of_known)
        apart = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1)
        return np.asarray(apart / self.torso[:, None, None])

    @cached_property
    def near_error(self) -> NDArray[np.float64]:
        """(N, K) mean error over the known joints, the closest counting most."""
        return _mean(self.wrong[:, None], self.closeness * self.known[:, None], 0.5)

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """(N, K, 2) correction of the student's estimate, crop px; see `shift_by`."""
        t = self.tempering
        return self.shift_by(t.error_sd, t.error_length, t.error_noise)

    def shift_by(self, error_sd: float, error_length: float, error_noise: float) -> NDArray[np.float64]:
        """(N, K, 2) correction, crop px: a Gaussian process over the errors at the known joints, in torso lengths."""
        away = (self.xy - self.student) / self.torso[:, None, None]
        error = np.where(self.known[..., None], away, 0.0)
        size = np.linalg.norm(error, axis=-1, keepdims=True)
        reach = 3 * np.hypot(error_sd, error_noise)
        error *= np.exp(-0.5 * (size / reach) ** 2)  # a gross error is no shift: it counts for less the larger it is
        shared = error_sd**2 * np.exp(-0.5 * (self.distance / error_length) ** 2)
        among_known = shared * self.known[:, None] * self.known[:, :, None]
        noise = np.eye(self.known.shape[1]) * np.where(self.known, error_noise**2, 1.0)[:, None]
        solved = np.linalg.solve(among_known + noise, error)
        return np.asarray((shared * self.known[:, None]) @ solved * self.torso[:, None, None])

    @cached_property
    def swap_evidence(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Evidence for a left/right swap, nats: (N, K) from the keypoint's known mirror, (N,) from known pairs."""
        own, other = self._log_at_known(np.arange(len(self.skeleton))), self._log_at_known(self.mirror)
        gain = np.where(self.known & self.paired, other - own, 0.0)
        both = self.known & self.known[:, self.mirror] & self.paired
        return gain[:, self.mirror], (gain * both).sum(1) / np.maximum(both.sum(1), 1)

    def _log_at_known(self, channel: NDArray[np.intp]) -> NDArray[np.float64]:
        """(N, K) log density of `channel`'s distributions at the known joints, floored."""
        x, y = self.axes
        at = self.xy * self.split
        here = at_bins(x, channel, at[..., 0]) * at_bins(y, channel, at[..., 1])
        return np.asarray(np.log(here.astype(np.float64) + FLOOR / (x.shape[-1] * y.shape[-1])))

    @cached_property
    def hypotheses(self) -> NDArray[np.float64]:
        """(N, K, 3) weights of own, swapped, lost, before the prior is applied."""
        t = self.tempering
        mirror_gain, pair_gain = self.swap_evidence
        swapped = t.swapped_mirror * mirror_gain + t.swapped_pairs * pair_gain[:, None]
        swapped = np.where(self.paired, swapped + [j.swapped for j in self.joints], -np.inf)
        lost = t.lost_error * self.near_error + [j.lost for j in self.joints]
        logit = np.stack([np.zeros_like(lost), swapped, lost], -1)
        return simcc.softmax(logit, beta=1.0)

    # Both experts.

    @cached_property
    def cumulated(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, K, W + 1) and (N, K, H + 1) cumulative distributions of both axes."""
        return cumulated(self.axes[0]), cumulated(self.axes[1])

    def posteriors(
        self,
        people: NDArray[np.intp],
        joints: NDArray[np.intp],
        mixture: Mixture,
        cells: CropGrid,
        experts: tuple[bool, bool],
        image_wh: NDArray[np.floating] | None,
        *,
        only_moments: bool = False,
    ) -> dict[str, NDArray[np.float64]]:
        """(N, K) `x`, `y` in crop px and summaries of the posteriors of P keypoints; 0 elsewhere.

        Args:
            people, joints: (P,) the keypoints, as `listed` orders them.
            mixture: their priors, P rows.
            only_moments: leave all but `mean_x`, `mean_y` and `sd_px` at 0.
        """
        bounds = self._bounds(image_wh)
        result = {name: np.zeros(self.known.shape) for name in self.summaries}
        at_a_time = max(CHUNK_CELLS // (len(cells.x_U) * len(cells.y_V)), 1)
        for start in range(0, len(people), at_a_time):
            part = slice(start, start + at_a_time)
            i, j = people[part], joints[part]
            rows = Mixture(mixture.weight_NKM[part], mixture.mean_NKM2[part], mixture.cov_NKM22[part])
            for name, value in self._posterior(i, j, rows, cells, experts, bounds[i], only_moments).items():
                result[name][i, j] = value
        return result

    def _posterior(
        self,
        i: NDArray[np.intp],
        j: NDArray[np.intp],
        mixture: Mixture,
        cells: CropGrid,
        experts: tuple[bool, bool],
        bounds: NDArray[np.float64],
        only_moments: bool,
    ) -> dict[str, NDArray[np.floating]]:
        """Posterior summaries (P,) of the keypoints j of the people i."""
        weight = self.hypotheses[i, j].astype(np.float32)
        # Own and swapped, products of a distribution across and one down, (P, 2, U) and (P, 2, V).
        channels = np.stack([j, self.mirror[j]], 1)
        across, down = (
            mass_in_cells(total, i, channels, centre - shift[:, None], cells)
            for total, centre, shift in zip(self.cumulated, (cells.x_U, cells.y_V), self.shift[i, j].T, strict=True)
        )
        down *= weight[:, [OWN, SWAPPED], None]
        lost = (weight[:, LOST] + np.float32(FLOOR)) * np.float32(cells.uniform)
        picture = np.swapaxes(down, 1, 2) @ across
        picture += lost[:, None, None]
        prior = prior_map(mixture, cells)
        prior[~self.in_prior[j]] = cells.uniform
        a, b = (self.exponents[j] * np.array(experts, np.float32)).T[:, :, None, None]
        posterior = np.log(picture)
        posterior *= a
        log_prior = np.log(prior + np.float32(FLOOR * cells.uniform))
        log_prior *= b
        posterior += log_prior
        posterior -= posterior.max((1, 2), keepdims=True)
        np.exp(posterior, out=posterior)
        posterior /= posterior.sum((1, 2), keepdims=True)
        mean, sd = moments(*marginals(posterior), cells)
        found: dict[str, NDArray[np.floating]] = {"mean_x": mean[:, 0], "mean_y": mean[:, 1], "sd_px": sd}
        if only_moments:
            return found
        xy = best_point(posterior, cells, np.maximum(self.oks_sd[i, j], cells.side / 2))
        share = np.divide(posterior, picture, out=log_prior)
        mass = across.sum(-1)  # 1 but for rounding, 0 where a shift moves all of it out of the crop
        picture_across = np.einsum("pc,pcu->pu", down.sum(-1), across) + (lost * len(cells.y_V))[:, None]
        picture_down = np.einsum("pc,pcv->pv", mass, down) + (lost * len(cells.x_U))[:, None]
        if "inside" in self.summaries:
            found["inside"] = np.minimum(mass_between(posterior, cells, bounds[:, 0], bounds[:, 1]), 1.0)
        return found | {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "near": mass_around(posterior, cells, xy, self.oks_sd[i, j] * OKS_HALF),
            "swapped": ((down[:, 1, None] @ share)[:, 0] * across[:, 1]).sum(1),
            "lost": share.sum((1, 2)) * lost,
            "picture_sd_px": moments(picture_across, picture_down, cells)[1],
            "prior_sd_px": moments(*marginals(prior), cells)[1],
            "prior_inside": np.minimum(mass_between(prior, cells, bounds[:, 0], bounds[:, 1]), 1.0),
        }

    def _bounds(self, image_wh: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """(N, 2, 2) lowest and highest crop px of the picture."""
        if image_wh is None:
            return np.broadcast_to(np.array([[-np.inf, -np.inf], [np.inf, np.inf]]), (len(self.px), 2, 2))
        wh = np.asarray(image_wh, np.float64)
        return self._to_crop(np.stack([np.full_like(wh, -0.5), wh - 0.5], 1))

    def conclude(
        self, found: dict[str, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Keypoints (N, K, 2) and deviations (N, K) in image px, known joints at their labels, and the features."""
        xy = np.stack([found.pop("x"), found.pop("y")], -1)
        del found["mean_x"], found["mean_y"]
        inverse = np.linalg.inv(self.affine[..., :2])
        image = np.einsum("nij,nkj->nki", inverse, xy - self.affine[:, None, :, 2])
        for name in {"near", "prior_inside", "inside"} & found.keys():
            found[name] = np.where(self.known, 1.0, found[name])
        gap = np.linalg.norm(self.student - self.mean_of_known, axis=-1) * (~self.known & self.in_prior)
        joint_sd = np.hypot(found["picture_sd_px"], found["prior_sd_px"])
        found["surprise"] = np.divide(gap, joint_sd, out=np.zeros_like(gap), where=joint_sd > 0)
        found["disagreement"] = gap / (self.oks_sd * OKS_HALF)
        found["near_error"] = self.near_error
        found["known_error"] = _mean(self.wrong, self.known.astype(np.float64), 0.5)
        found["known"] = self.known.sum(1).astype(np.float64)
        for name in ("sd_px", "picture_sd_px", "prior_sd_px"):
            found[name] = found[name] * self.px[:, None]
        xy_image = np.where(self.known[..., None], self.image_xy, image)
        return xy_image, found.pop("sd_px"), found


def listed(mask_NK: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(P,) people and keypoints of a mask, by keypoint: those of one share the kernel of their OKS."""
    joints, people = np.nonzero(mask_NK.T)
    return people, joints


def _mean(value: NDArray[np.float64], weight: NDArray[np.float64], default: float) -> NDArray[np.float64]:
    """Weighted mean over the last axis, shrunk a little towards `default`, which is the mean where weights are 0."""
    little = 0.1
    return np.asarray(((value * weight).sum(-1) + little * default) / (weight.sum(-1) + little))
