"""Where a dataset's annotations and pictures lie: known ones by name, any other by a small TOML file.

# my_dataset.toml; paths are relative to this file
format = "coco"                       # one of `--format`; left out: recognised by content
annotations = "annotations/train.json"
images = "images"
skeleton = "lsp14"                    # a shipped skeleton or a skeleton .toml; left out: recognised by names
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import first_fault, read_toml
from poseunion.models.skeleton import Skeleton, load_skeleton

DATA_VARIABLE = "POSEUNION_DATA"


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Attributes:
        name: what the user called it.
        annotations: the file.
        images: the folder that the file's picture names are relative to.
        format: name in the registry of formats; None: recognised by content.
        skeleton: the one the file must have; None: recognised by its keypoint names.
    """

    name: str
    annotations: Path
    images: Path
    format: str | None = None
    skeleton: Skeleton | None = None


@dataclass(frozen=True)
class _Known:
    """A dataset in mmpose's folder layout, below the data folder."""

    annotations: str
    images: str
    formats: str | None
    skeleton: str


# LSP has no layout in mmpose: this follows the others.
KNOWN = {
    "mpii": _Known("mpii/annotations/mpii_train.json", "mpii/images", None, "mpii16"),
    "coco": _Known("coco/annotations/person_keypoints_train2017.json", "coco/train2017", "coco", "coco17"),
    "lsp": _Known("lsp/annotations/lsp_train.json", "lsp/images", "coco", "lsp14"),
}
EXAMPLE = "example"


class _File(BaseModel):
    """Schema of a dataset file."""

    model_config = ConfigDict(extra="forbid")

    annotations: Path
    images: Path
    format: str | None = None
    skeleton: str | None = None


def find_dataset(
    name: str | None,
    annotations: Path | None = None,
    images: Path | None = None,
    *,
    scratch: Path = Path("runs/example"),
) -> Dataset:
    """Resolve `--dataset`, `--annotations` and `--images`.

    Args:
        name: mpii, coco, lsp, example, a .toml file, or None when both paths are given.
        annotations, images: in place of the dataset's usual paths.
        scratch: folder for the example's pictures.

    Raises:
        BadArgumentError: too little is given, or the name is unknown. BadFileError: nothing is there, with all places
            that were tried.
    """
    if name is None:
        if annotations is None or images is None:
            raise BadArgumentError(
                "Which data? Give --dataset mpii|coco|lsp|FILE.toml, or --annotations FILE with --images DIR."
            )
        return _checked(Dataset(annotations.stem, annotations, images))
    if name.endswith(".toml"):
        return _checked(_from_file(Path(name), annotations, images))
    if name == EXAMPLE:
        from poseunion.annotate.example import example_dataset

        labels, folder = example_dataset(scratch / "images")
        return Dataset(EXAMPLE, labels, folder)
    if name not in KNOWN:
        raise BadArgumentError(
            f"No dataset {name!r}: choose {', '.join(KNOWN)}, {EXAMPLE}, or give a .toml file that describes it."
        )
    known = KNOWN[name]
    root = Path(os.environ.get(DATA_VARIABLE) or "data")
    return _checked(
        Dataset(
            name,
            annotations or root / known.annotations,
            images or root / known.images,
            known.formats,
            load_skeleton(known.skeleton),
        )
    )


def _from_file(path: Path, annotations: Path | None, images: Path | None) -> Dataset:
    try:
        data = _File.model_validate(read_toml(path))
    except ValidationError as error:
        raise BadFileError(f"{path} is not a dataset file: {first_fault(error)}.") from error
    skeleton = data.skeleton
    if skeleton is not None and skeleton.endswith(".toml"):
        skeleton = str(path.parent / skeleton)
    return Dataset(
        path.stem,
        annotations or path.parent / data.annotations,
        images or path.parent / data.images,
        data.format,
        None if skeleton is None else load_skeleton(skeleton),
    )


def picture_folder(folder: Path) -> Path:
    """`folder` itself; raises BadArgumentError where there is none."""
    if not folder.is_dir():
        raise BadArgumentError(f"--images {folder} is no folder: give the one that picture names are relative to.")
    return folder


def _checked(dataset: Dataset) -> Dataset:
    missing = []
    if not dataset.annotations.exists():  # of labelme and OpenPose a folder of files
        missing.append(f"the annotation file {dataset.annotations}")
    if not dataset.images.is_dir():
        missing.append(f"the picture folder {dataset.images}")
    if missing:
        hint = f" (known datasets are searched below ${DATA_VARIABLE}, or ./data)" if dataset.name in KNOWN else ""
        raise BadFileError(
            f"Dataset {dataset.name}: {' and '.join(missing)} not found{hint}; "
            "give --annotations FILE and --images DIR."
        )
    return dataset
