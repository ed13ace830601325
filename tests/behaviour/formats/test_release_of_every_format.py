"""Whatever format the original had: its release is proved against it, and a change of any human point is found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import FORMATS, read_annotations
from poseunion.annotate.formats.coco.results import PREDICTIONS
from poseunion.annotate.release.integrity import prove
from poseunion.annotate.review.decisions import read_extended, write_document
from poseunion.models.errors import BadFileError


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_proved(name: str, kit: SimpleNamespace, make: Any, tmp_path: Path, fake: Any) -> None:
    path, wanted = make(name)
    original = read_annotations(path)
    out = tmp_path / "extended.json"
    extend(original, tmp_path / kit.SAMPLES[name].images, fake(), out, Options(format="coco"))
    if name in PREDICTIONS:
        with pytest.raises(BadFileError, match="predictions"):
            prove(original, read_extended(out))
        return
    proof = prove(original, read_extended(out))
    assert proof.faults == []
    assert proof.human_points == proof.identical == int((wanted.state > 0).sum())
    assert proof.fields > 0

    changed = read_extended(out)
    k = changed.records[1]["keypoint_source"].index("human")
    changed.records[1]["keypoints"][3 * k] += 1e-7
    write_document(out, changed.source.document)
    proof = prove(original, read_extended(out))
    assert len(proof.faults) == 1
    assert changed.skeleton.keypoints[k] in proof.faults[0]
