"""Labelled people on which confidences are fitted and measured: whole, and cut at a border so that joints are absent.

A confidence must be low where the joint is not in the picture, but labels do not state that: a keypoint without a label
may be hidden, tiny or forgotten. So a labelled person is cut: the picture ends between two of its joints, and those
beyond are known to be absent.

Shapes: N views, K keypoints of the model.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.models.codec.crop import Crop
from poseunion.models.errors import BadFileError, ItemError
from poseunion.models.images import read_annotated_image
from poseunion.models.inference.predictor import Predictor
from poseunion.models.metrics import oks_radius_px
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.labels import TrainingPerson
from poseunion.training.data.read_people import read_people
from poseunion.training.evaluation.predictions import person_areas

# A cut leaves at least this share of a person's labelled joints, at least three: fewer are no usable sample.
LEAST_LEFT = 0.4
FEWEST_LEFT = 3
# The labels as their own file has them, and as MPII's would (`mpii_form`).
OWN, MPII = "own", "mpii"
# A border falls between two joints, this far from both in px: a joint on the very border is neither in nor out.
CLEARANCE_PX = 1.0
_FAR = 1 << 30  # beyond any picture's side


@dataclass(frozen=True)
class View:
    """A labelled person in a window of the picture.

    Attributes:
        dataset: name of the file it comes from.
        person: with its box as it is in the window.
        area: square px of the person's part in the window.
        window_xyxy: image px that are shown, end exclusive; None: the whole picture.
        form: the file format whose labels and box are given to the model, `OWN` or `MPII`.
        given: (K, 3) x, y (image px) and visibility in that form's file; None: the person's labels.
    """

    dataset: str
    person: TrainingPerson
    area: float
    window_xyxy: tuple[int, int, int, int] | None = None
    form: str = OWN
    given: NDArray[np.float64] | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(K,) keypoints with a known place, in the window or beyond it."""
        return self.person.visibility > 0

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(K,) labelled, and in the window."""
        return self.labelled & self.in_window(self.person.xy)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(K,) keypoints that the model may be given: labelled in the form's file, and in the window."""
        if self.given is None:
            return self.inside
        return np.asarray((self.given[:, 2] > 0) & self.in_window(self.given[:, :2]))

    def in_window(self, xy_K2: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(K,) which points (image px) are shown."""
        x0, y0, x1, y1 = self.window_xyxy or (-_FAR, -_FAR, _FAR, _FAR)
        return np.asarray(((xy_K2 >= (x0, y0)) & (xy_K2 <= (x1 - 1, y1 - 1))).all(-1))


def read_views(
    name: str, annotations: Path, images: Path, target: Skeleton, wanted: Callable[[str], bool] = lambda _: True
) -> list[View]:
    """All labelled people of a file, whole, in the target skeleton's order and definitions.

    Args:
        wanted: which pictures, by file name.
    """
    people = read_people(DatasetEntry(name=name, annotations=annotations, images=images), target)
    people = [p for p in people if wanted(p.image.name)]
    area = person_areas(read_annotations(annotations), np.array([p.person_id for p in people], np.intp))
    return [View(name, p, float(a)) for p, a in zip(people, area, strict=True)]


def cut_at_border(view: View) -> View | None:
    """The same person in a picture that ends between two of its joints; None where too few are labelled.

    Side and place are drawn by the picture's name and the person's number, so that every run has the same.
    """
    person = view.person
    rng = np.random.default_rng([seed_of(person.image.name), person.person_id])
    left = max(FEWEST_LEFT, int(np.ceil(LEAST_LEFT * view.labelled.sum())))
    places = [(axis, low, n) for axis in (0, 1) for low in (False, True) for n in range(left, int(view.labelled.sum()))]
    for axis, keep_low, kept in rng.permutation(np.array(places, int).reshape(-1, 3)).tolist():
        # Between the joints n - 1 and n along the axis, counted from the side that is kept.
        along = np.sort(person.xy[view.labelled, axis])
        before, after = (along[kept - 1], along[kept]) if keep_low else (along[-kept - 1], along[-kept])
        if after - before > 2 * CLEARANCE_PX + 1:
            border = int(np.ceil(rng.uniform(before + CLEARANCE_PX, after - CLEARANCE_PX - 1)))
            break
    else:
        return None
    window = [0, 0, _FAR, _FAR]
    window[axis + 2 * keep_low] = border
    x0, y0, x1, y1 = window
    x, y, w, h = person.box_xywh
    low, high = np.maximum([x, y], [x0, y0]), np.minimum([x + w, y + h], [x1, y1])
    if (high <= low).any():
        return None
    share = float(np.prod(high - low) / (w * h))
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    return View(view.dataset, dataclasses.replace(person, box_xywh=box), view.area * share, (x0, y0, x1, y1))


def counts_for_guarantee(view: View) -> bool:
    """Whether this view of the person, whole or cut, counts for the guarantee: one of them does."""
    person = view.person
    drawn = np.random.default_rng([seed_of(person.image.name, "look"), person.person_id]).integers(2)
    return bool(drawn) == (view.window_xyxy is not None)


def seed_of(image_name: str, salt: str = "") -> int:
    """A number that depends on a picture's name alone."""
    return int.from_bytes(hashlib.sha256((salt + image_name).encode()).digest()[:4], "big")


@dataclass(frozen=True)
class ViewPredictions:
    """Predictions of a model for views. All places are px of the shown part of the picture.

    Attributes:
        views: those that could be predicted.
        xy: (N, K, 2) from the picture alone.
        raw_score: (N, K) the network's own.
        expected_oks: (N, K) of a SimCC network, see `Predictor.expected_oks`; None: it has heatmaps.
        crops: where each was cut.
        wh: (N, 2) size of the shown picture.
        truth: (N, K, 2) the labels.
        given: (N, K, 2) the labels as the form's file has them, see `View.given`.
        logits: (N, K, W) and (N, K, H) float16 of a SimCC model, on request.
        skipped: (picture, reason).
    """

    views: tuple[View, ...]
    xy: NDArray[np.float64]
    raw_score: NDArray[np.float64]
    expected_oks: NDArray[np.float64] | None
    crops: tuple[Crop, ...]
    wh: NDArray[np.float64]
    truth: NDArray[np.float64]
    given: NDArray[np.float64]
    logits: tuple[NDArray[np.float16], NDArray[np.float16]] | None
    skipped: tuple[tuple[str, str], ...]

    @functools.cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K)"""
        return np.stack([v.labelled for v in self.views])

    @functools.cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(N, K)"""
        return np.stack([v.inside for v in self.views])

    @functools.cached_property
    def known(self) -> NDArray[np.bool_]:
        """(N, K) keypoints that the model may be given."""
        return np.stack([v.known for v in self.views])

    @functools.cached_property
    def size(self) -> NDArray[np.float64]:
        """(N,) image px per crop px: how large the person is in the picture."""
        return np.array([crop.image_px_per_crop_px for crop in self.crops])

    def right(self, xy_NK2: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.bool_]:
        """(N, K) the keypoint is in the picture, and `xy` lies within its OKS-.5 radius; False where unlabelled."""
        radius = oks_radius_px(np.array([v.area for v in self.views]), skeleton.sigma_array)
        return np.asarray(self.inside & (np.linalg.norm(xy_NK2 - self.truth, axis=-1) <= radius))


def predict_views(predictor: Predictor, views: Sequence[View], *, logits: bool = False) -> ViewPredictions:
    """Run a model on every view; views of one picture are adjacent, so that it is read once.

    Raises:
        BadFileError: no view could be predicted.
    """
    pixels: list[NDArray[np.uint8]] = []
    crops: list[Crop] = []
    usable: list[View] = []
    wh: list[tuple[int, int]] = []
    skipped: list[tuple[str, str]] = []
    xy, score, oks = [], [], []
    kept: tuple[list[NDArray[np.float16]], list[NDArray[np.float16]]] = ([], [])

    def flush() -> None:
        outputs = predictor.outputs(np.stack(pixels))
        batch = predictor.located(outputs, crops[len(crops) - len(pixels) :])
        xy.append(batch.xy)
        score.append(batch.score if batch.raw_score is None else batch.raw_score)
        if (expected := predictor.expected_oks(outputs)) is not None:
            oks.append(expected)
        if logits:
            for axis, output in zip(kept, outputs, strict=True):
                axis.append(output.astype(np.float16))
        pixels.clear()

    picture: tuple[Path | None, NDArray[np.uint8]] = (None, np.zeros((1, 1, 3), np.uint8))
    for view in track(views, predictor.name):
        person = view.person
        try:
            if picture[0] != person.image:
                picture = (person.image, read_annotated_image(person.image, person.image_wh))
            x, y, w, h = person.box_xywh
            x0, y0, x1, y1 = view.window_xyxy or (0, 0, _FAR, _FAR)
            shown = picture[1][y0:y1, x0:x1]
            cut, crop = predictor.cut(shown, (x - x0, y - y0, w, h))
        except ItemError as error:
            skipped.append((person.image.name, str(error)))
            continue
        pixels.append(cut)
        crops.append(crop)
        usable.append(view)
        wh.append((shown.shape[1], shown.shape[0]))
        if len(pixels) == predictor.batch_size:
            flush()
    if pixels:
        flush()
    if not usable:
        raise BadFileError(f"None of {len(views)} people could be predicted: {skipped[:1] or 'no labelled person'}.")
    origin = np.array([v.window_xyxy[:2] if v.window_xyxy else (0, 0) for v in usable], np.float64)
    return ViewPredictions(
        tuple(usable),
        np.concatenate(xy).astype(np.float64),
        np.concatenate(score).astype(np.float64),
        np.concatenate(oks).astype(np.float64) if oks else None,
        tuple(crops),
        np.array(wh, np.float64),
        np.stack([v.person.xy for v in usable]) - origin[:, None],
        np.stack([v.person.xy if v.given is None else v.given[:, :2] for v in usable]) - origin[:, None],
        (np.concatenate(kept[0]), np.concatenate(kept[1])) if logits else None,
        tuple(skipped),
    )


def joined(first: ViewPredictions, second: ViewPredictions) -> ViewPredictions:
    """Predictions of one model for two lists of views, concatenated."""
    arrays = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("xy", "raw_score", "wh", "truth", "given")
    }
    oks = None
    if first.expected_oks is not None and second.expected_oks is not None:
        oks = np.concatenate([first.expected_oks, second.expected_oks])
    logits = None
    if first.logits is not None and second.logits is not None:
        x, y = (np.concatenate(axes) for axes in zip(first.logits, second.logits, strict=True))
        logits = (x, y)
    return ViewPredictions(
        views=first.views + second.views,
        expected_oks=oks,
        crops=first.crops + second.crops,
        logits=logits,
        skipped=first.skipped + second.skipped,
        **arrays,
    )
