"""`release`: a reviewed file becomes a folder with its card, its plots and the proof that nothing human changed."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poseunion.annotate.datasets import picture_folder
from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.formats.extension_view import extension_of, human_view
from poseunion.annotate.formats.point_states import count_states
from poseunion.annotate.formats.yolo import yolo_labels_write as yolo_write
from poseunion.annotate.release import mpii, plots
from poseunion.annotate.release.card import Card
from poseunion.annotate.release.counts import count
from poseunion.annotate.release.integrity import Proof, prove
from poseunion.annotate.release.metainfo import metainfo_file
from poseunion.annotate.review.apply import applied
from poseunion.annotate.review.decisions import read_extended, write_document
from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.files import atomic_folder, atomic_writer, read_json, write_bytes, write_json
from poseunion.models.images import image_size
from poseunion.models.picture_paths import picture_path

FORMATS = ("coco", "mpii", "yolo")


@dataclass(frozen=True)
class Request:
    """What is to be released.

    Attributes:
        file: the extended, reviewed file.
        original: the file it was made from; None: the one that `FILE.run.json` names.
        images: folder of its pictures; they are searched, not copied.
        out: the folder to be made.
        formats: besides COCO's json: mpii, yolo.
        corrections: human points that reviewers corrected may differ from the original.
        quality: json of `poseunion evaluate --json`, for the card.
        licence: of the annotations, for the card.
    """

    file: Path
    images: Path
    out: Path
    original: Path | None = None
    formats: Sequence[str] = ("coco",)
    corrections: bool = False
    quality: Path | None = None
    licence: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class Released:
    """Outcome of `release`.

    Attributes:
        files: path in the folder -> what it is.
        missing: pictures that are not in the folder of pictures.
        left_out: people without a box, which MPII's json cannot hold.
        states: see `count_states`.
    """

    proof: Proof
    files: dict[str, str]
    missing: list[str]
    left_out: int
    states: dict[str, Counter[str]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "proof": self.proof.to_json(),
            "files": self.files,
            "missing": self.missing,
            "left_out": self.left_out,
        }


def release(request: Request) -> Released:
    """Write the release; nothing is written if a human number changed.

    Raises:
        BadArgumentError: an unknown format, or the original is not known.
        BadFileError: see `prove`; decisions are not applied; something human changed; the folder cannot be written.
    """
    if unknown := sorted(set(request.formats) - set(FORMATS)):
        raise BadArgumentError(f"No release format {unknown[0]!r}: choose {', '.join(FORMATS)}.")
    plots.need_matplotlib()
    annotations = read_extended(request.file)
    _refuse_unapplied(annotations)
    categories = annotations.source.document["poseunion"].get("options", {}).get("categories") or ()
    original = read_annotations(request.original or _original_of(request.file), categories=categories)
    missing = _missing(annotations, request.images)
    quality, quality_of = _quality(request.quality, annotations)
    with atomic_folder(request.out, overwrite=request.overwrite) as folder:
        write_document(folder / "annotations.json", annotations.source.document)
        released = read_annotations(folder / "annotations.json")  # what is proved is what was written
        proof = prove(original, released)
        _refuse_changes(proof, request.corrections)
        name = request.out.resolve().name
        files = {
            "annotations.json": "the dataset, COCO style; its added fields are described in poseunion's docs/extend.md"
        }
        files["mmpose_metainfo.py"] = "metainfo for mmpose"
        write_bytes(folder / "mmpose_metainfo.py", metainfo_file(released.skeleton, name).encode())
        left_out = 0
        if "mpii" in request.formats:
            files["mpii.json"] = "MPII's json: `joints` with 16, `joints_union` with all keypoints"
            with atomic_writer(folder / "mpii.json") as file:
                left_out = mpii.write(file, released, original)
        if "yolo" in request.formats:
            files["yolo/data.yaml"] = "YOLO-pose: classes, keypoints and flips; labels beside it"
            _write_yolo(folder / "yolo", released, _sizer(released, request.images))
        counts = count(released)
        (folder / "plots").mkdir()
        drawn = plots.draw(folder / "plots", released, counts)
        write_json(folder / "diff.json", proof.to_json(), indent=1)
        files |= {"diff.json": "the comparison with the original", "counts.json": "the table below, as numbers"}
        write_json(folder / "counts.json", {name: row.to_json() for name, row in counts.items()}, indent=1)
        card = Card(name, released, counts, proof, files, drawn, missing, request.licence, quality, quality_of)
        write_bytes(folder / "README.md", card.markdown().encode())
    return Released(proof, {**files, "README.md": "the card"}, missing, left_out, count_states(released))


def _refuse_unapplied(annotations: AnnotationSet) -> None:
    report = applied(annotations)[1]
    path = annotations.source.path
    if report.changes:
        raise BadFileError(
            f"{path} has {len(report.changes)} decisions that are not applied: run annotate apply first."
        )
    if report.bad:
        name, reason = report.bad[0]
        raise BadFileError(f"{path}, annotation {name}: {reason}; {len(report.bad)} such decisions are to be mended.")


def _refuse_changes(proof: Proof, corrections: bool) -> None:
    if proof.faults:
        raise BadFileError(
            f"Nothing is released, because {len(proof.faults)} things of {proof.original} changed (first: "
            f"{proof.faults[0]}): only decisions that annotate apply takes over may change a human's point."
        )
    if proof.corrected and not corrections:
        first = proof.corrected[0]
        raise BadFileError(
            f"Nothing is released, because {len(proof.corrected)} human points were corrected by reviewers (first: "
            f"annotation {first['annotation']}, {first['keypoint']}): release them with --corrections."
        )


def _original_of(file: Path) -> Path:
    run = file.with_name(file.name + ".run.json")
    content = read_json(run) if run.is_file() else {}
    report = content.get("report") if isinstance(content, dict) else None
    path = report.get("annotations") if isinstance(report, dict) else None
    if not isinstance(path, str) or not Path(path).is_file():
        raise BadArgumentError(f"It is not known which file {file} was made from: give it with --original.")
    return Path(path)


def _missing(annotations: AnnotationSet, images: Path) -> list[str]:
    """Pictures that are not there; raises BadArgumentError where none is."""
    picture_folder(images)
    names = [image.file_name for image in annotations.images]
    missing = [name for name in names if not (images / name).is_file()]
    if names and len(missing) == len(names):
        raise BadArgumentError(f"None of the pictures is in {images}: is it the right folder?")
    return missing


def _sizer(annotations: AnnotationSet, images: Path) -> Callable[[int], tuple[int, int] | None]:
    def size_of(index: int) -> tuple[int, int] | None:
        try:
            return image_size(picture_path(images, annotations.images[index].file_name), exif=False)
        except ItemError:
            return None

    return size_of


def _write_yolo(folder: Path, annotations: AnnotationSet, size_of: Callable[[int], tuple[int, int] | None]) -> None:
    packed = io.BytesIO()
    yolo_write.write(packed, human_view(annotations), extension_of(annotations, size_of))
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)


def _quality(path: Path | None, annotations: AnnotationSet) -> tuple[dict[str, float], str]:
    """Keypoint -> PCK@.2 of the file's model, from a report of `poseunion evaluate --json`, and what it is of."""
    if path is None:
        return {}, ""
    report = read_json(path)
    names = annotations.skeleton.keypoints
    model = annotations.source.document["poseunion"].get("model", {}).get("name")
    try:
        for measured_on, results in report.items():
            for result in results:
                if result["model"] == model:
                    known = {k: float(v) for k, v in result["pck"].items() if k in names and v is not None}
                    return known, f"measured on {Path(measured_on).name}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFileError(f"{path} is not what poseunion evaluate --json writes ({error!r}).") from error
    raise BadFileError(f"{path} does not measure the model {model!r} that made the proposals.")
