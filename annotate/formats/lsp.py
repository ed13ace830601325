"""Leeds Sports Pose's `joints.mat`: (3, 14, N) of LSP, (14, 3, N) of LSP extended (Johnson & Everingham 2010, 2011).

One person a picture, `im0001.jpg` … (five digits in the extended set, which has 10,000). There are no boxes: they are
grown from the labelled joints (`boxes.boxes_of_joints`). Coordinates are taken as they stand: from what they count is
not documented.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.added_fields import blocks, own_positions
from poseunion.annotate.formats.boxes import fill_boxes
from poseunion.annotate.formats.extension import ORIGIN_NAMES, Extension
from poseunion.annotate.formats.matlab import cell_row, save_mat
from poseunion.annotate.formats.skeleton_match import reordered
from poseunion.annotate.formats.types import (
    NO_HUMAN_KEYPOINT,
    AnnotationSet,
    ImageRef,
    Report,
    Source,
    empty_rows,
)
from poseunion.annotate.formats.visibility import LSP, LSPET, lsp_states
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton

NAME = "lsp-mat"
K = 14
_MORE_THAN_LSP = 9999  # pictures whose numbers need a fifth digit


def detect(source: Source) -> bool:
    """Whether this is a MATLAB file with a variable `joints` of one of the two layouts."""
    return source.path.suffix.lower() == ".mat" and _layout(source.document.get("joints")) is not None


def _layout(joints: Any) -> bool | None:
    """True: LSP extended's layout, False: LSP's, None: neither."""
    if not isinstance(joints, np.ndarray) or joints.dtype.kind not in "fiu" or joints.ndim not in (2, 3):
        return None
    return {(K, 3): True, (3, K): False}.get((joints.shape[0], joints.shape[1]))


def _by_person(joints: NDArray[Any]) -> NDArray[np.float64]:
    """(N, 14, 3) x, y, third row, from either layout; MATLAB drops the last axis of a single person."""
    cube = np.asarray(joints, np.float64)
    cube = cube[:, :, None] if cube.ndim == 2 else cube
    return cube.transpose(2, 0, 1) if _layout(joints) else cube.transpose(2, 1, 0)


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read a joints.mat; arguments and errors as in `coco_json.read`."""
    lsp = load_skeleton("lsp14")
    lsp = reordered(lsp, skeleton.keypoints) if skeleton else lsp
    extended = _layout(source.document.get("joints"))
    if extended is None:
        raise BadFileError(f"{source.path} is not LSP's: a variable 'joints' of (3, 14, N) or (14, 3, N) is expected.")
    joints_NK3 = _by_person(source.document["joints"])
    n = len(joints_NK3)
    xy_NK2, visibility_NK, box_N4, image_N = empty_rows(n, K)
    digits = 5 if extended or n > _MORE_THAN_LSP else 4
    images = [ImageRef(index + 1, f"im{index + 1:0{digits}d}.jpg") for index in range(n)]
    skip: dict[int, str] = {}
    for index, joint_K3 in enumerate(joints_NK3):
        states = lsp_states(joint_K3, extended=extended)
        visibility_NK[index] = states
        xy_NK2[index] = np.where(states[:, None] > 0, joint_K3[:, :2], 0.0)
        image_N[index] = index
        if not (states > 0).any():
            skip[index] = NO_HUMAN_KEYPOINT
    fill_boxes(box_N4, xy_NK2, visibility_NK, lsp)
    records: list[dict[str, Any]] = [{"image": image.file_name} for image in images]
    return AnnotationSet(NAME, lsp, source, records, images, image_N, xy_NK2, visibility_NK, box_N4, None, skip, 1)


def write(file: BinaryIO, annotations: AnnotationSet, extension: Extension) -> None:
    """The file's variables as they were, and beside `joints`:

    `joints_union`         the same layout with the output's keypoints; the file's own ones to the digit
    `keypoint_names`       their names, 1xK cell
    `keypoint_source`      NxK cell of human, proposed, derived, none
    `keypoint_confidence`  NxK, NaN where nothing was predicted
    """
    source = annotations.source.document
    extended = bool(_layout(source["joints"]))
    table = LSPET if extended else LSP
    names = extension.skeleton.keypoints
    own = own_positions(annotations, extension.skeleton)
    n, k = len(annotations), len(names)
    union_NK3 = np.zeros((n, k, 3))
    if not extended:
        union_NK3[..., :2] = -1.0  # in LSP's layout the third row cannot mark a point as absent
    union_NK3[:, own] = _by_person(source["joints"])
    origin_NK, confidence_NK = np.zeros((n, k), np.int8), np.full((n, k), np.nan)
    for index, completion in blocks(n, extension):
        row = index - completion.start
        origin_NK[index], confidence_NK[index] = completion.origin[row], completion.confidence[row]
        for position in completion.new(row):
            state = Visibility(int(completion.visibility[row, position]))
            union_NK3[index, position] = [*completion.xy[row, position], table.from_state[state]]
    source_cells = np.array([ORIGIN_NAMES[o] for o in origin_NK.ravel()], dtype=object).reshape(n, k)
    added = {
        "joints_union": union_NK3.transpose(1, 2, 0) if extended else union_NK3.transpose(2, 1, 0),
        "keypoint_names": cell_row(list(names)),
        "keypoint_source": source_cells,
        "keypoint_confidence": confidence_NK,
        "poseunion": extension.block["version"],
    }
    save_mat(file, {**source, **added})
