"""COCO people in MPII's form: what the fits see is what `annotate extend` makes of such a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.extend.chunks import task_of
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.models.conditioning.hiding import FACE, HEAD
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.skeleton import load_skeleton
from poseunion.training.calibration.fit_calibration import Source, as_lacking, confidence_of, try_out, views_of
from poseunion.training.calibration.mpii_form import has_mpii_form, in_mpii_form, mpii_records
from poseunion.training.calibration.samples import MPII, OWN, View, cut_at_border, joined, read_views

UNION = load_skeleton("union21")
FACE_K, HEAD_K = ([UNION.index(name) for name in names] for names in (FACE, HEAD))
LIMBS_K = [k for k in range(len(UNION)) if k not in FACE_K + HEAD_K]
Heads = dict[tuple[str, int], np.ndarray]


@pytest.fixture(scope="module")
def views(drawn_dataset: Path) -> list[View]:
    """COCO's drawn people whole and cut, and LSP's, who have no face."""
    coco = read_views("coco17", drawn_dataset / "coco17.json", drawn_dataset, UNION)
    lsp = read_views("lsp14", drawn_dataset / "lsp14.json", drawn_dataset, UNION)
    return [*coco, *(cut for v in coco if (cut := cut_at_border(v)) is not None), *lsp]


@pytest.fixture(scope="module")
def heads(views: list[View]) -> Heads:
    """Neck and head_top of COCO's people; every third head_top is unlabelled."""
    found: Heads = {}
    for view in views:
        if view.dataset == "coco17":
            found[(str(view.person.image), view.person.person_id)] = np.array(
                [[80.5, 40.25, 1.0], [81.0, 20.0, float(view.person.person_id % 3 > 0)]]
            )
    return found


def test_the_form_has_mpiis_joints_and_no_face(views: list[View], heads: Heads) -> None:
    formed = in_mpii_form(views, heads, UNION)
    assert {v.dataset for v in formed} == {"coco17"}
    assert len(formed) == sum(v.dataset == "coco17" for v in views)
    for view in formed:
        assert view.form == MPII
        assert view.given is not None
        assert view.labelled[FACE_K].all()  # still the truth
        assert not view.known[FACE_K].any()
        assert not view.labelled[HEAD_K].any()  # a proposal is no truth
        np.testing.assert_array_equal(view.known[LIMBS_K], view.inside[LIMBS_K])
        limbs = view.known & view.labelled
        np.testing.assert_allclose(view.given[limbs, :2], view.person.xy[limbs], atol=1e-9)
        if view.window_xyxy is None:
            assert view.known[HEAD_K].tolist() == [True, view.person.person_id % 3 > 0]


def test_extend_reads_the_same_box_and_joints(views: list[View], heads: Heads, tmp_path: Path) -> None:
    written, records = mpii_records(views, heads, UNION)
    (tmp_path / "mpii.json").write_text(json.dumps(records))
    annotations = read_annotations(tmp_path / "mpii.json")
    assert annotations.format == "mpii"
    task = task_of(annotations, 0, np.arange(len(annotations)), UNION)
    formed = in_mpii_form(views, heads, UNION)
    assert len(formed) == len(written) == len(task.persons)
    for view, person in zip(formed, task.persons, strict=True):
        assert person.box_xywh == view.person.box_xywh
        assert person.labels is not None
        np.testing.assert_array_equal(person.labels, view.given)


def test_extend_proposes_what_the_fits_measure(drawn_dataset: Path, tmp_path: Path) -> None:
    predictor = load_predictor("unified", threads=1)
    calibration = predictor.metadata.calibration
    assert calibration is not None
    assert calibration.evidence is not None
    source = Source(drawn_dataset / "coco17.json", drawn_dataset)
    whole = [v for v in views_of([source], UNION, everyone=True) if v.window_xyxy is None]
    features = calibration.picture.features
    tried, _ = try_out(predictor, whole, calibration.tempering, calibration.size_bounds, features)
    assert tried.evidence is not None
    formed = [v for v in tried.predicted.views if v.form == MPII]
    assert len(formed) == len(whole)
    said: dict[tuple[str, str], tuple[float, float, float]] = {}
    samples = tried.evidence
    for n, k, confidence in zip(
        samples.view, samples.keypoint, confidence_of(calibration.evidence, samples), strict=True
    ):
        view = tried.predicted.views[n]
        if view.form == MPII and k in FACE_K:
            said[view.person.image.name, UNION.keypoints[k]] = confidence
    # The same people as a file, heads as the fits gave them.
    made = {
        (str(v.person.image), v.person.person_id): np.concatenate([v.given[HEAD_K, :2], v.known[HEAD_K, None]], 1)
        for v in formed
        if v.given is not None
    }
    _, records = mpii_records(whole, made, UNION)
    (tmp_path / "mpii.json").write_text(json.dumps(records))
    out = tmp_path / "out.json"
    extend(read_annotations(tmp_path / "mpii.json"), drawn_dataset, ConditionedPredictor(predictor), out, Options())
    document = json.loads(out.read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    proposed = {
        (names[a["image_id"]], p["name"]): p["confidence"]
        for a in document["annotations"]
        for p in a["proposals"]
        if p["name"] in FACE
    }
    assert proposed.keys() == said.keys()
    for key, confidence in proposed.items():
        assert confidence == pytest.approx(said[key], abs=2e-3)  # the fits keep the network's outputs in half precision


def test_each_keypoint_counts_in_the_form_that_lacks_it(drawn_dataset: Path) -> None:
    predictor = load_predictor("unified", threads=1)
    calibration = predictor.metadata.calibration
    assert calibration is not None
    source = Source(drawn_dataset / "coco17.json", drawn_dataset)
    tried, _ = try_out(predictor, views_of([source], UNION, everyone=True)[:8], calibration.tempering)
    seen = tried.predicted.views
    counted = as_lacking(tried.picture, seen, UNION)
    forms = np.array([v.form for v in seen])[counted.view]
    is_face = np.isin(counted.keypoint, FACE_K)
    assert set(forms[is_face]) == {MPII}
    assert set(forms[~is_face]) == {OWN}
    pairs = list(zip(counted.view.tolist(), counted.keypoint.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


def test_joined_answers_are_those_of_both(drawn_dataset: Path) -> None:
    from poseunion.training.calibration.samples import predict_views

    predictor = load_predictor("unified", threads=1)
    views = read_views("coco17", drawn_dataset / "coco17.json", drawn_dataset, UNION)[:3]
    first, second = predict_views(predictor, views[:2], logits=True), predict_views(predictor, views[2:], logits=True)
    both = joined(first, second)
    assert both.views == (*first.views, *second.views)
    assert both.logits is not None
    assert len(both.xy) == len(both.crops) == len(both.logits[0]) == len(both.given) == 3


def test_a_model_without_a_face_or_neck_has_no_mpii_form() -> None:
    assert has_mpii_form(UNION)
    assert not has_mpii_form(load_skeleton("coco17"))
    assert not has_mpii_form(load_skeleton("mpii16"))
