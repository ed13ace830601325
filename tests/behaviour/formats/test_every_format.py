"""Every format of the registry: it reads, it writes, it extends; nothing of it is lost on the way."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import FORMATS, AnnotationSet, json_records, read_annotations
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import atomic_writer
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, project_indices

VARIANTS = ("lspet",)  # another layout of a format of the registry
READ_ONLY = ("cvat-xml", "labelme")  # written in other formats
# Their names are those of the points in use: with a few points it takes a skeleton to read them.
NAMED_BY_USE = ("label-studio", "labelme")
PROPERTY = settings(max_examples=8, suppress_health_check=list(HealthCheck))
# Values of a field that no format knows.
UNKNOWN = st.dictionaries(
    st.text("xyzü", min_size=1, max_size=3).map(lambda s: "x" + s),
    st.one_of(st.none(), st.integers(-9, 9), st.floats(-9, 9), st.lists(st.text(max_size=3), max_size=2)),
    max_size=2,
)


def samples_of(kit: SimpleNamespace) -> dict[str, Any]:
    """The samples of the registry's formats, and of their variants."""
    return {**kit.SAMPLES, **kit.VARIANTS}


@st.composite
def people(draw: st.DrawFn, kit: SimpleNamespace, name: str) -> Any:
    """People with every state that the format can hold."""
    sample, states = samples_of(kit)[name], FORMATS[kit.format_of(name)].states
    if name != kit.format_of(name):
        states = kit.VARIANT_STATES[name]
    k = len(load_skeleton(sample.skeleton))
    n = draw(st.integers(1, 4))
    numbers = st.integers(1024, 46 * 1024).map(lambda v: v / 1024)  # dyadic: +1 - 1 changes nothing
    xy = np.array(draw(st.lists(numbers, min_size=n * k * 2, max_size=n * k * 2))).reshape(n, k, 2)
    seen = st.sampled_from([int(s) for s in states if s >= 0])
    state = np.array(draw(st.lists(seen, min_size=n * k, max_size=n * k))).reshape(n, k)
    if Visibility.UNDEFINED in states:
        state[draw(st.lists(st.booleans(), min_size=n, max_size=n))] = -1
    image = list(range(n)) if sample.single else sorted(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    return kit.People(sample.skeleton, xy, state, image, n if sample.single else 2, draw(UNKNOWN))


def some_people(kit: SimpleNamespace, name: str, seed: int = 0) -> Any:
    """Three people, most of whose points are there."""
    sample, states = kit.SAMPLES[name], [int(s) for s in FORMATS[name].states if s >= 0]
    rng = np.random.default_rng(seed)
    k = len(load_skeleton(sample.skeleton))
    xy = rng.integers(5 * 16, 40 * 16, (3, k, 2)) / 16
    state = rng.choice(states, (3, k), p=np.array([len(states), *[1] * (len(states) - 1)]) / (2 * len(states) - 1))
    state[:, 0], state[:, 1] = 2, 0  # one point that is sure to be there, one that is sure to be missing
    return kit.People(sample.skeleton, xy, state, [0, 1, 2] if sample.single else [0, 0, 1], 3 if sample.single else 2)


def check_people(annotations: AnnotationSet, wanted: Any, tolerance_px: float) -> None:
    """The people are `wanted`: order, names, states, coordinates."""
    assert annotations.skeleton.keypoints == load_skeleton(wanted.skeleton).keypoints
    assert annotations.visibility.tolist() == wanted.state.tolist()
    labelled = wanted.state > 0
    np.testing.assert_allclose(annotations.xy[labelled], wanted.xy[labelled], rtol=0, atol=tolerance_px)
    assert (annotations.xy[~labelled] == 0).all()
    order = [annotations.images[i].file_name for i in annotations.image_index]
    assert [sorted(set(order)).index(n) for n in order] == [sorted(set(wanted.image)).index(i) for i in wanted.image]


def told_skeleton(name: str, wanted: Any) -> Skeleton | None:
    """What has to be said of a file for it to be read."""
    return load_skeleton(wanted.skeleton) if name in NAMED_BY_USE else None


def write_as(annotations: AnnotationSet, output: str, kit: SimpleNamespace, folder: Path) -> Path:
    path: Path = kit.written_name(folder, output)
    with atomic_writer(path) as file:
        FORMATS[annotations.format].writers[output](file, annotations, kit.nothing_added(annotations))
    return path


def test_every_format_has_a_sample(kit: SimpleNamespace) -> None:
    assert set(kit.SAMPLES) == set(FORMATS)
    for name, known in FORMATS.items():
        assert (name in known.writers) == (name not in READ_ONLY), name
        assert {"coco", "label-studio", "openpose", "yolo-pose", "datumaro", "coco-results"} <= set(known.writers)


@pytest.mark.parametrize("name", [*FORMATS, *VARIANTS])
def test_it_is_read_as_written(name: str, kit: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> None:
    @PROPERTY
    @given(wanted=people(kit, name))
    def check(wanted: Any) -> None:
        folder = tmp_path_factory.mktemp("f")
        kit.write_pictures(folder, samples_of(kit)[name], wanted.pictures)
        annotations = read_annotations(samples_of(kit)[name].write(folder, wanted), None, told_skeleton(name, wanted))
        assert annotations.format == kit.format_of(name)
        check_people(annotations, wanted, samples_of(kit)[name].tolerance_px)
        for image in annotations.images:
            assert (folder / samples_of(kit)[name].images / image.file_name).is_file()

    check()


@pytest.mark.parametrize("name", [*(n for n in FORMATS if n not in READ_ONLY), *VARIANTS])
def test_written_back_nothing_is_lost(
    name: str, kit: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @PROPERTY
    @given(wanted=people(kit, name))
    def check(wanted: Any) -> None:
        folder = tmp_path_factory.mktemp("f")
        kit.write_pictures(folder, samples_of(kit)[name], wanted.pictures)
        skeleton = told_skeleton(name, wanted)
        before = read_annotations(samples_of(kit)[name].write(folder, wanted), None, skeleton)
        out = folder / "written"
        kit.write_pictures(out, samples_of(kit)[name], wanted.pictures)
        written = kit.unpacked(write_as(before, kit.format_of(name), kit, out))
        after = read_annotations(written, kit.format_of(name), skeleton)
        check_people(after, wanted, samples_of(kit)[name].tolerance_px)
        np.testing.assert_array_equal(after.box_xywh, before.box_xywh)
        assert after.images == before.images
        old, new = before.source.document, after.source.document
        if name == "yolo-pose":  # its numbers stand in the label files
            old = {key: value for key, value in old.items() if key not in ("kpt_shape", "flip_idx")}
            assert [r["tokens"] for r in after.records] == [r["tokens"] for r in before.records]
        assert kit.contains(new, old)

    check()


@pytest.mark.parametrize("output", ["coco", "yolo-pose", "datumaro", "coco-results", "label-studio"])
@pytest.mark.parametrize("name", FORMATS)
def test_as_another_format_it_keeps_what_that_one_can_hold(
    name: str, output: str, kit: SimpleNamespace, tmp_path: Path
) -> None:
    wanted = some_people(kit, name)
    kit.write_pictures(tmp_path, kit.SAMPLES[name], wanted.pictures)
    before = read_annotations(kit.SAMPLES[name].write(tmp_path, wanted))
    out = tmp_path / "written"
    if output == "yolo-pose":
        for image in before.images:  # where a YOLO dataset has its pictures
            path = out / ("." if name == output else "images") / image.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", kit.SIZE).save(path)
    after = read_annotations(kit.unpacked(write_as(before, output, kit, out)), None, before.skeleton)
    holds = FORMATS[output].states
    if output == "coco":  # a dialect's numbers stay, and are read by the dialect's table
        holds = FORMATS[name].states
        assert after.format in ("coco", name)
    states = [[s if s in holds else (2 if s > 0 else 0) for s in row] for row in wanted.state.tolist()]
    assert after.visibility.tolist() == states
    labelled = wanted.state > 0
    tolerance = 1e-6 if "yolo-pose" in (name, output) else 1e-10 if "label-studio" in (name, output) else 0
    np.testing.assert_allclose(after.xy[labelled], wanted.xy[labelled], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_extended_in_every_form(
    name: str, kit: SimpleNamespace, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "LONG", 1)
    wanted = some_people(kit, name)
    images = kit.write_pictures(tmp_path, kit.SAMPLES[name], wanted.pictures)
    path = kit.SAMPLES[name].write(tmp_path, wanted)
    annotations, as_text = read_annotations(path), read_annotations(path, lean=True)
    default = next(iter(FORMATS[name].writers))
    for output in FORMATS[name].writers:
        out = kit.written_name(tmp_path / output, output)
        report = extend(annotations, images, fake(), out, Options(format=output, fill_gaps=True))
        assert (report.predicted, report.bad, report.format) == (3, [], output)
        first = out.read_bytes()
        options = Options(format=output, fill_gaps=True, overwrite=True, workers=2)
        extend(as_text, images, fake(), out, options)
        again = out.read_bytes()  # of records held as text, unchanged values are copied as they are spelled
        assert again == first if out.suffix != ".json" else json.loads(again) == json.loads(first)
        if output == "coco":
            check_extended(annotations, read_annotations(out), wanted, name)
    if default == "coco":
        assert extend(annotations, images, fake(), tmp_path / "d.json").format == "coco"


def check_extended(before: AnnotationSet, after: AnnotationSet, wanted: Any, name: str) -> None:
    """The COCO-style extended file: human points to the digit, more points than before, origins that fit."""
    assert set(load_skeleton("union21").keypoints) <= set(after.skeleton.keypoints)
    index = project_indices(after.skeleton, before.skeleton)
    labelled = wanted.state > 0
    assert after.xy[:, index][labelled].tolist() == before.xy[labelled].tolist()
    assert after.visibility[:, index][labelled].tolist() == wanted.state[labelled].tolist()
    assert (after.visibility > 0).sum() > labelled.sum()
    for record, row in zip(after.records, after.visibility, strict=True):
        assert [s != "none" for s in record["keypoint_source"]] == (row > 0).tolist()
        assert record["keypoint_source"].count("human") <= labelled.shape[1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_one_sentence(name: str, kit: SimpleNamespace, tmp_path: Path) -> None:
    path = kit.SAMPLES[name].write(tmp_path, some_people(kit, name))
    path = sorted(path.iterdir())[0] if path.is_dir() else path
    if path.suffix == ".yaml":
        path.write_text("kpt_shape: [17")
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadFileError) as caught:
        read_annotations(path, name)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    path.write_text("kpt_shape: 3" if path.suffix == ".yaml" else "{}")
    with pytest.raises(BadFileError, match=path.name):
        read_annotations(path, name)


def test_a_dataset_cannot_be_written_as_another(kit: SimpleNamespace, tmp_path: Path, fake: Any) -> None:
    path = kit.SAMPLES["coco"].write(tmp_path, some_people(kit, "coco"))
    with pytest.raises(BadArgumentError, match="cannot be written as 'aic'"):
        extend(read_annotations(path), tmp_path, fake(), tmp_path / "o.json", Options(format="aic"))
