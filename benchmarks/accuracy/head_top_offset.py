"""Where a network puts head_top against the union's definition: the factor of `models.keypoint_offsets.MODEL_OFFSETS`.

    python benchmarks/accuracy/head_top_offset.py --model teachers/efficientpose-rt.onnx \\
        --annotations lspet/train.json --images lspet/train

Two kinds of truth. LSP's labels, brought to the union's definition by the stored offset: people of training pictures
that are held out. And files whose people have a field `head_top`, where the outline of their hair ends. The factor is
the median of (truth - neck) / (answer - neck) along the answer's line from upper_neck to head_top, of upright people
whose keypoints the network found: within half a torso of the truth, score of .3 and more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from pathlib import Path

import numpy as np

from poseunion.export.timing import commit, machine
from poseunion.models.errors import ItemError
from poseunion.models.images import read_image
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.keypoint_offsets import LSP_OFFSETS, apply_offsets
from poseunion.models.picture_paths import picture_path
from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.splits import is_held_out

MIN_SCORE, MAX_TORSO, MOST_TILTED_DEG = 0.3, 0.5, 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--annotations", type=Path, required=True, help="LSP people, or people with `head_top`")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--all", action="store_true", help="also of pictures not held out: of a network that saw none")
    parser.add_argument("--most", type=int, default=1000, help="people to read, the first ones")
    given = parser.parse_args()
    network = load_predictor(given.model, flip=True, threads=1)
    document = json.loads(given.annotations.read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    lsp, own = load_skeleton("lsp14"), network.skeleton
    neck, head = own.index("upper_neck"), own.index("head_top")
    ratios: list[float] = []
    torsos: list[float] = []
    read = 0
    for person in document["annotations"]:
        name = names[person["image_id"]]
        outline = person.get("head_top")
        if read == given.most or not (outline or (person.get("num_keypoints") and (given.all or is_held_out(name)))):
            continue
        try:
            poses = network(read_image(picture_path(given.images, name), exif=False), [person["bbox"]])
        except ItemError:
            continue
        read += 1
        truth_xy = np.array(outline or (np.nan, np.nan), np.float64)
        if not outline:
            points = np.array(person["keypoints"], np.float64).reshape(1, -1, 3)
            seen = points[..., 2].astype(np.int8)
            xy, seen = apply_offsets(points[..., :2], seen, lsp, LSP_OFFSETS)
            if seen[0, lsp.index("head_top")] > 0:
                truth_xy = xy[0, lsp.index("head_top")]
        answer_xy, score = poses.xy[0].astype(np.float64), poses.score[0]
        line = answer_xy[head] - answer_xy[neck]
        torso = float(np.linalg.norm(_middle(answer_xy, own, "shoulder") - _middle(answer_xy, own, "hip")))
        upright = line[1] < 0 and abs(np.degrees(np.arctan2(line[0], -line[1]))) <= MOST_TILTED_DEG
        near = np.linalg.norm(answer_xy[head] - truth_xy) <= MAX_TORSO * torso
        if upright and near and min(score[neck], score[head]) >= MIN_SCORE:
            ratios.append(float((truth_xy - answer_xy[neck]) @ line / (line @ line)))
            torsos.append((ratios[-1] - 1) * float(np.linalg.norm(line)) / torso)
    rng = np.random.default_rng(0)
    spread = np.std([np.median(rng.choice(ratios, len(ratios))) for _ in range(500)])
    print(f"Date: {datetime.date.today().isoformat()}  ")
    print(f"Command: `{shlex.join(['python', *sys.argv])}`  ")
    print(f"Machine: {machine()}  \nCommit: {commit(Path(__file__))}  \n")
    print(
        f"{network.name}: factor {np.median(ratios):.3f} +- {spread:.3f} (bootstrap) over {len(ratios)} of {read} "
        f"people; the truth lies {np.median(torsos):+.3f} torso from its head_top"
    )


def _middle(xy_K2: np.ndarray, skeleton: object, part: str) -> np.ndarray:
    index = [skeleton.index(f"{side}_{part}") for side in ("left", "right")]  # type: ignore[attr-defined]
    return np.asarray(xy_K2[index].mean(0))


if __name__ == "__main__":
    main()
