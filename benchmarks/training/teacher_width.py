"""How wide are a heatmap teacher's peaks? The value of `sigma_cells` in its description.

    .venv/bin/python benchmarks/training/teacher_width.py --model teachers/tinypose-256x192.onnx \\
        --annotations coco/train.json --images coco/train

A peak's width along an axis is that of the Gaussian through it, fitted to the logarithm of the marginal where that is
above half of its maximum. Only peaks count that lie on a human label, and of these the higher half: the others are
doubt, not width.
The marginals are those that `training.teachers.online` makes, floor included, since it is their width that is matched.

Shapes: K keypoints, S cells of an axis.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.models import load_predictor, read_image
from poseunion.models.codec.crop import affine_to_crop, apply_affine
from poseunion.models.codec.regrid import marginals_from_heatmap
from poseunion.models.skeleton import project_indices
from poseunion.training.teachers.online import HEATMAP_FLOOR

MAX_MISS = 0.03  # of the crop's height, from the label
MIN_CELLS = 3


def sigma_of(marginal_S: NDArray[np.floating]) -> float:
    """Width of the highest peak, in cells; nan where it has too few cells above half of its height."""
    top = int(marginal_S.argmax())
    share = marginal_S / marginal_S[top]
    low, high = top, top
    while low > 0 and share[low - 1] >= 0.5:
        low -= 1
    while high < len(share) - 1 and share[high + 1] >= 0.5:
        high += 1
    cells = np.arange(low, high + 1)
    if len(cells) < MIN_CELLS or low == 0 or high == len(share) - 1:
        return float("nan")
    curvature = np.polyfit(cells - top, np.log(share[cells]), 2)[0]
    return float(np.sqrt(-0.5 / curvature)) if curvature < 0 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a heatmap model that describes itself")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--people", type=int, default=150)
    options = parser.parse_args()

    teacher = load_predictor(options.model, threads=1)
    head = teacher.metadata.head
    assert head.kind == "heatmap", "a SimCC teacher's width stands in its own description"
    annotations = read_annotations(options.annotations)
    index = project_indices(annotations.skeleton, teacher.skeleton)
    found: list[tuple[float, float, float]] = []  # height, and width along x and y
    records = [r for r in annotations.persons() if r.skip is None and r.image is not None]
    for record in records[:: max(1, len(records) // options.people)]:
        assert record.image is not None
        crop_HW3, crop = teacher.cut(read_image(options.images / record.image.file_name, exif=False), record.box_xywh)
        heat_NKhw = teacher.outputs(crop_HW3[None])[0]
        (xy_K2,), (height_K,) = teacher.decode([heat_NKhw])
        label_K2 = apply_affine(annotations.xy[record.index], affine_to_crop(crop))[index]
        labelled = (annotations.visibility[record.index][index] > 0) & (index >= 0)
        miss = np.linalg.norm(xy_K2 - label_K2, axis=-1) / teacher.size_wh[1]
        (x_KS,), (y_KS,) = marginals_from_heatmap(heat_NKhw, floor=HEATMAP_FLOOR)
        for k in np.flatnonzero(labelled & (height_K > HEATMAP_FLOOR) & (miss <= MAX_MISS)):
            found.append((height_K[k], sigma_of(x_KS[k]), sigma_of(y_KS[k])))
    peaks = np.array(found)
    sigma = peaks[peaks[:, 0] >= np.median(peaks[:, 0]), 1:]
    quartiles = np.nanquantile(sigma, [0.25, 0.5, 0.75], axis=0)
    cell_px = teacher.size_wh[0] / head.size_wh[0]
    print(f"{teacher.name}: the higher {len(sigma)} of {len(peaks)} peaks on labels, cells of {cell_px:g} px")
    for axis, name in enumerate("xy"):
        low, middle, high = quartiles[:, axis]
        print(f"  {name}: median {middle:.2f} cells, quartiles {low:.2f} and {high:.2f}")
    print(f"  sigma_cells = {np.nanmedian(sigma):.2f}")


if __name__ == "__main__":
    main()
