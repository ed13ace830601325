"""A sample of a shard: labels, peaks and pixels of one person stay together."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.crop_store import CropStore
from poseunion.training.densities.peaks import MODES, Peaks
from poseunion.training.shards.samples import cut_sample, decode, encode, encode_picture

UNION = load_skeleton("union21")


@st.composite
def people(draw: st.DrawFn) -> tuple[CropStore, Peaks]:
    """A store of one person: a smooth picture whose red and green are its own coordinates."""
    height, width = draw(st.integers(40, 500)), draw(st.integers(40, 500))
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x / 2, y / 2, np.zeros_like(x)], -1).round().astype(np.uint8)
    wide, high = draw(st.floats(10, width - 20)), draw(st.floats(10, height - 20))
    left, top = draw(st.floats(0, width - wide)), draw(st.floats(0, height - high))
    corners = st.tuples(st.floats(left, left + wide), st.floats(top, top + high))
    xy = np.array([[draw(corners) for _ in UNION.keypoints]])
    scale, origin = draw(st.floats(0.5, 4)), draw(st.tuples(st.floats(0, 3000), st.floats(0, 3000)))

    class _One:
        def __getitem__(self, index: int) -> np.ndarray:
            return pixels

    visibility = np.full(xy.shape[:2], 2, np.int8)
    store = CropStore(
        *("one", UNION, np.array([[left, top, wide, high]]), xy, visibility, visibility / 2.0, np.array([7])),
        *(("a/b.jpg",), np.array([scale]), np.array([origin]), (), "", _One()),  # type: ignore[arg-type]
    )
    shape = (1, len(UNION), MODES)
    modes = Peaks(
        np.repeat(xy[:, :, None], MODES, 2).astype(np.float32),
        np.tile(np.array([4, 1, 9], np.float32), (*shape, 1)),
        np.tile(np.array([0.75, 0.25, 0], np.float32), (*shape[:2], 1)),
        np.full(shape[:2], 0.5, np.float32),
    )
    return store, modes


@settings(max_examples=40)
@given(people(), st.integers(24, 256))
def test_labels_and_pixels_move_together(person: tuple[CropStore, Peaks], height_px: int) -> None:
    """Where a label lies, the crop shows the colour that the whole picture has there."""
    store, modes = person
    files = encode(cut_sample(store, 0, [modes], height_px, "b.jpg"), 100)
    sample = decode(files, len(UNION), 1)
    assert (sample.image, sample.person_id) == ("b.jpg", 7)
    np.testing.assert_allclose(sample.xy, store.to_image(0, store.xy[0]), atol=1e-5)
    np.testing.assert_allclose(sample.modes[0].xy[0, :, 0], sample.xy, atol=1e-2)
    assert (sample.modes[0].weight == modes.weight).all()
    back = (sample.xy - sample.origin_xy + 0.5) / sample.scale - 0.5
    shrink = sample.scale / store.image_px_per_store_px[0]
    inner = ((back > 1) & (back < np.array(sample.pixels.shape[1::-1]) - 2)).all(1)
    for (x, y), label in zip(back[inner], store.xy[0][inner], strict=True):
        shown = sample.pixels[round(y), round(x), :2] * 2.0
        # Half a px for rounding the place, a grey level for the colour, a px for the shorter side's scale.
        assert np.abs(shown - label).max() <= 1.5 * shrink + 3


def test_a_picture_costs_less_at_a_lower_quality() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (60, 40, 3), dtype=np.uint8)
    sizes = [len(encode_picture(picture, quality)) for quality in (20, 50, 90)]
    assert sizes == sorted(sizes)
