"""The picture of docs/integrations/supervision.md: points and uncertainty of an example's face, drawn by supervision.

.venv/bin/python docs/supervision_screen.py      # writes docs/integrations/supervision.webp
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import supervision as sv
from PIL import Image

from poseunion.annotate.example import example_dataset
from poseunion.annotate.formats import read_annotations
from poseunion.models import load_predictor
from poseunion.models.images import read_image
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.skeleton import project

OUT = Path(__file__).resolve().parent / "integrations" / "supervision.webp"
PICTURE = "astronaut.png"
VIEW_XYXY = (150, 0, 330, 230)  # head and shoulders
SHOWN_PX = 640  # width


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        labels, images = example_dataset(Path(folder))
        annotations, picture = read_annotations(labels), read_image(images / PICTURE)
    named = [annotations.images[i].file_name == PICTURE for i in annotations.image_index]
    rows = np.flatnonzero(named)
    predict = ConditionedPredictor(load_predictor("unified"))
    xy, visibility = project(annotations.xy[rows], annotations.visibility[rows], annotations.skeleton, predict.skeleton)
    labels_NK3 = np.concatenate([xy, visibility[..., None]], axis=-1)
    people = predict(picture, annotations.box_xywh[rows], labels_NK3)
    x0, y0, x1, y1 = VIEW_XYXY
    scale = SHOWN_PX / (x1 - x0)
    view = Image.fromarray(picture[y0:y1, x0:x1]).resize((SHOWN_PX, round((y1 - y0) * scale)), Image.Resampling.LANCZOS)
    keypoints = people.to_supervision()
    keypoints.xy = (keypoints.xy - [x0, y0]) * scale
    keypoints.data["covariance"] = keypoints.data["covariance"] * scale**2
    drawn = sv.VertexEllipseAreaAnnotator().annotate(np.array(view), keypoints)
    drawn = sv.VertexAnnotator(radius=4).annotate(drawn, keypoints)
    Image.fromarray(drawn).save(OUT, quality=80, method=6)


if __name__ == "__main__":
    main()
