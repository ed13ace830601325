"""`extend`: an annotation file in, the same file with the union's keypoints out.

Every person keeps what humans labelled; pelvis and thorax are derived where both parents are labelled; the model
proposes the rest. The network's answers go into a journal chunk by chunk; the file itself is made from the journal at
the end, so an interrupted run that is resumed writes the same bytes as one that was not.
"""

from __future__ import annotations

import datetime
import glob
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.extend.chunks import ChunkResult, cut_task, task_of
from poseunion.annotate.extend.executor import ENGINES, run_local
from poseunion.annotate.extend.executor_ray import mark_of, read_shards, run_ray, shards_path
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.journal import Journal
from poseunion.annotate.extend.plan import CHUNK, Plan, plan
from poseunion.annotate.extend.report import ExtendReport, KeypointCounts
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.extend.run_state import RunState
from poseunion.annotate.formats import AnnotationSet, Writer, writer_for
from poseunion.annotate.formats.extension import Extension
from poseunion.annotate.formats.skeleton_match import output_skeleton, skeleton_to_json
from poseunion.annotate.formats.types import ANIMAL, NO_HUMAN_KEYPOINT
from poseunion.models.errors import BadArgumentError, BadFileError, PoseUnionError
from poseunion.models.files import atomic_writer, read_json, refuse_existing, write_json
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.picture_paths import refuse_wrong_folder
from poseunion.models.skeleton import Skeleton

Progress = Callable[[int, int], None]
# What of `describe_work` the `poseunion` block repeats.
OPTIONS = ("limit", "unlabelled", "categories", "fill_gaps", "keypoints", "evidence", "inference")


@dataclass(frozen=True)
class Options:
    """What of `extend` can be chosen.

    Attributes:
        format: of the output; None: the input format's default (MPII's json becomes COCO style).
        threshold: confidence from which a proposal is accepted; None: the model's own.
        risk: share of gross errors among what is accepted, guaranteed instead of a threshold; see `acceptance`.
        fill_gaps, keypoints: what is proposed, see `requested_keypoints.Asked`.
        limit: predict only the first so many people.
        unlabelled: also people without any human keypoint.
        max_bad: share of people that may be unusable before the run gives up, 0 … 1.
        resume: go on with the journal beside the output.
        overwrite: replace an output or journal that is there.
        workers: people-chunks worked on at once; changes the time, not the result.
        engine: what runs them, see `executor`.
        strict: identify pictures by their content, see `Pictures`; changes no result.
    """

    format: str | None = None
    threshold: float | None = None
    limit: int | None = None
    unlabelled: bool = False
    max_bad: float = 0.05
    resume: bool = False
    overwrite: bool = False
    workers: int = 1
    engine: str = "local"
    risk: float | None = None
    fill_gaps: bool = False
    keypoints: tuple[str, ...] | None = None
    strict: bool = False

    @property
    def asked(self) -> Asked:
        """Which keypoints are proposed."""
        return Asked(self.fill_gaps, self.keypoints)

    def __post_init__(self) -> None:
        if self.risk is not None and self.threshold is not None:
            raise BadArgumentError("--risk picks the thresholds itself: leave out --threshold.")
        if not 0 <= self.max_bad <= 1:
            raise BadArgumentError(f"--max-bad {self.max_bad} is not a share: give a number from 0 to 1.")
        if self.limit is not None and self.limit < 1:
            raise BadArgumentError(f"--limit {self.limit} leaves nothing to do: give at least 1.")
        if self.workers < 1:
            raise BadArgumentError(f"--workers {self.workers} is too few: give at least 1.")
        if self.engine not in ENGINES:
            raise BadArgumentError(f"No engine {self.engine!r}: choose {' or '.join(ENGINES)}.")
        if self.resume and self.overwrite:
            raise BadArgumentError("--resume goes on with what is there, --overwrite drops it: give one of them.")


def journal_path(out: Path) -> Path:
    """The journal beside an output."""
    return out.with_name(out.name + ".journal.jsonl")


def run_path(out: Path) -> Path:
    """Date, command, host and result of the run that made an output."""
    return out.with_name(out.name + ".run.json")


def extend(
    annotations: AnnotationSet,
    images: Path,
    predictor: PosePredictor,
    out: Path,
    options: Options = Options(),
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> ExtendReport:
    """Complete `annotations` and write the result to `out`, atomically.

    Args:
        images: folder of the pictures.
        progress: called with (people done, people to do).
        command: the command line, for `FILE.run.json`.

    Raises:
        BadFileError: an output or journal is in the way, the disk is full, or more than `max_bad` of the people could
            not be used (the journal then stays for `resume`).
    """
    started = time.time()
    _refuse_extended(annotations)
    format_name, writer = writer_for(annotations, options.format)
    options.asked.check(annotations.skeleton, predictor.skeleton, unlabelled=options.unlabelled)
    rule = acceptance_rule(predictor, options.threshold, options.risk)
    work = describe_work(annotations, predictor, options)
    made = {"format": format_name, **rule.to_json()}
    _check_output(out, annotations, options)
    if options.resume and out.exists() and not journal_path(out).exists():
        return _finished_report(out, work, made)

    planned = plan(annotations, limit=options.limit, unlabelled=options.unlabelled)
    refuse_nobody(annotations, planned)
    refuse_wrong_folder(images, planned.file_names(annotations), annotations.source.path)
    pictures = Pictures(images, strict=options.strict)
    journal, lines = (
        Journal.resume(journal_path(out), work)
        if options.resume
        else (Journal.create(journal_path(out), work), iter(()))
    )
    try:
        _sweep(out)
        state = RunState(annotations, planned, len(predictor.skeleton), options.max_bad)
        redone = journal.damaged
        for line in lines:
            result = _usable(line, state, predictor, journal.path)
            if result is None or not pictures.unchanged(result.stamps):
                redone += 1
            elif not _mended(result, annotations, pictures, predictor):
                state.add(result)
        resumed = state.people
        if progress is not None:
            progress(state.people, len(planned.order))
        state.refuse_too_many(journal.path)
        for result in _results(state, pictures, predictor, out, options, mark_of(work)):
            journal.append(result.to_line())
            state.add(result)
            if progress is not None:
                progress(state.people, len(planned.order))
            state.refuse_too_many(journal.path)

        output = output_skeleton(annotations.skeleton, predictor.skeleton)
        counts = KeypointCounts(output)
        rows = state.completer(rule, predictor.skeleton, output, counts, options.asked, predictor.name)
        extension = Extension(output, _block(work, made, output, predictor), state.sizer(pictures), rows)
        with atomic_writer(out) as file:
            left_out = _write_finite(writer, file, annotations, extension, out)
        report = ExtendReport(
            annotations=str(annotations.source.path),
            out=str(out),
            format=format_name,
            model=predictor.name,
            provider=predictor.provider,
            persons=planned.people,
            left_out=left_out,
            images=len({int(annotations.image_index[i]) for i in planned.order}),
            predicted=len(planned.order) - len(state.bad),
            passed=planned.passed,
            bad=state.bad_list(),
            keypoints=counts.table(),
            seconds=round(time.time() - started, 3),
            resumed=resumed,
            redone=redone,
            guarantee=rule.guarantee_block(),
            gaps=counts.gaps_left(),
            fill_gaps=options.fill_gaps,
            asked=options.keypoints,
        )
        _write_run(out, report, work, made, started, command)
        journal.remove()
        shutil.rmtree(shards_path(out), ignore_errors=True)
        return report
    except PoseUnionError:
        if not journal.chunks:  # nothing to go on with, so nothing is left behind
            journal.remove()
        raise
    finally:
        journal.close()


def _results(
    state: RunState, pictures: Pictures, predictor: PosePredictor, out: Path, options: Options, mark: str
) -> Iterator[ChunkResult]:
    """Results of the chunks that are missing: those that a job left as shards, then what the engine computes."""
    annotations, planned, shards = state.annotations, state.planned, shards_path(out)
    images = pictures.folder
    if not options.resume:
        shutil.rmtree(shards, ignore_errors=True)
    for result in read_shards(shards, mark, len(predictor.skeleton)):
        # What was bad may have been mended.
        if result.chunk not in state.chunks and not result.bad and pictures.unchanged(result.stamps):
            state.check_belongs(result, shards)
            yield result
    conditioned, part = predictor.skeleton if predictor.uses_labels else None, predictor.calibration_part
    labelling = None if part is None else part.labelling
    tasks = (
        task_of(annotations, chunk, planned.chunk(chunk), conditioned, options.asked, labelling)
        for chunk in range(planned.chunks)
        if chunk not in state.chunks
    )
    if options.engine == "ray":
        yield from run_ray(tasks, images, predictor, options.workers, shards, mark, strict=options.strict)
    else:
        yield from run_local(tasks, images, predictor, options.workers, strict=options.strict)


def describe_work(annotations: AnnotationSet, predictor: PosePredictor, options: Options) -> dict[str, Any]:
    """Head of the journal: everything besides the pictures that predictions and requested keypoints depend on."""
    route = {"route": list(predictor.route)} if predictor.route else {}
    return {
        **route,
        "annotations": annotations.source.sha256,
        "model": {"name": predictor.name, "sha256": predictor.sha256, **predictor.metadata.parts},
        "provider": predictor.provider,  # another one differs in the last digits
        "skeleton": annotations.skeleton.name,
        "limit": options.limit,
        "unlabelled": options.unlabelled,
        "categories": list(annotations.source.categories),
        "fill_gaps": options.fill_gaps,
        "keypoints": None if options.keypoints is None else list(options.keypoints),
        "evidence": predictor.prior_sha256,
        "inference": {
            name: getattr(predictor, name) for name in ("padding", "batch_size", "flip", "refine", "antialias")
        },
        "chunk": CHUNK,
        "version": version("poseunion"),
    }


def _usable(line: dict[str, Any], state: RunState, predictor: PosePredictor, path: Path) -> ChunkResult | None:
    """A journalled chunk; None where it is not one of this plan's, or out of range: it is done again."""
    try:
        result = ChunkResult.from_line(line, len(predictor.skeleton), path)
        state.check_belongs(result, path)
    except BadFileError:
        return None
    return result


def _mended(result: ChunkResult, annotations: AnnotationSet, pictures: Pictures, predictor: PosePredictor) -> bool:
    """Has a bad item of a journalled chunk become usable? Then the whole chunk is done again: batches stay equal."""
    if not result.bad:
        return False
    bad = np.array([index for index, _ in result.bad], np.int64)
    return bool(cut_task(task_of(annotations, result.chunk, bad), pictures, predictor).record)


def _refuse_extended(annotations: AnnotationSet) -> None:
    document = annotations.source.document
    if isinstance(document, dict) and "poseunion" in document:
        raise BadFileError(f"{annotations.source.path} is already an extended file: give the original one.")


def refuse_nobody(annotations: AnnotationSet, planned: Plan) -> None:
    """Raise BadFileError where a file has no person that can be completed."""
    if len(planned.order):
        return
    reasons = planned.reasons() or "it holds no person at all"
    advice = "; if they are people, choose their category with --category NAME" if ANIMAL in reasons else ""
    advice += "; to propose all keypoints from their boxes, give --unlabelled" if NO_HUMAN_KEYPOINT in reasons else ""
    raise BadFileError(
        f"0 of {planned.people} people in {annotations.source.path} can be completed ({reasons}){advice}."
    )


def _check_output(out: Path, annotations: AnnotationSet, options: Options) -> None:
    if out.resolve() == annotations.source.path.resolve():
        raise BadArgumentError(f"--out {out} is the annotation file itself: choose another name.")
    if out.is_dir():
        raise BadArgumentError(f"--out {out} is a folder: give a file name.")
    if options.resume:
        return
    if journal_path(out).exists() and not options.overwrite:
        raise BadFileError(
            f"{journal_path(out)} was left by an interrupted run: go on with --resume, or start again with --overwrite."
        )
    refuse_existing(out, overwrite=options.overwrite)


def _sweep(out: Path) -> None:
    """Remove the part files of a run that was killed while it wrote (`atomic_writer` names them)."""
    for part in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        part.unlink(missing_ok=True)


def _finished_report(out: Path, work: dict[str, Any], made: dict[str, Any]) -> ExtendReport:
    """`--resume` of a run that had already ended."""
    record = read_json(run_path(out)) if run_path(out).exists() else {}
    if not isinstance(record, dict) or record.get("work") != work or record.get("made") != made:
        raise BadFileError(
            f"{out} exists and was not made by this command from this input: replace it with --overwrite."
        )
    try:
        return ExtendReport.from_json(record["report"])
    except (AttributeError, KeyError, TypeError) as error:
        raise BadFileError(f"{run_path(out)} is damaged ({error}): start again with --overwrite.") from error


def _block(work: dict[str, Any], made: dict[str, Any], output: Skeleton, predictor: PosePredictor) -> dict[str, Any]:
    return {
        "version": version("poseunion"),
        "original_sha256": work["annotations"],
        "model": {**work["model"], "licence": predictor.metadata.licence},
        "skeleton": skeleton_to_json(output),
        **{k: v for k, v in made.items() if k != "format"},
        **({"route": work["route"]} if "route" in work else {}),
        "options": {k: work[k] for k in OPTIONS},
    }


def _write_finite(
    writer: Writer, file: Any, annotations: AnnotationSet, extension: Extension, out: Path
) -> dict[str, int]:
    """What the format could not hold: reason -> how many."""
    try:
        return writer(file, annotations, extension) or {}
    except ValueError as error:
        raise BadFileError(
            f"Cannot write {out}: a number in {annotations.source.path} is not finite ({error})."
        ) from error


def _write_run(
    out: Path,
    report: ExtendReport,
    work: dict[str, Any],
    made: dict[str, Any],
    started: float,
    command: Sequence[str],
) -> None:
    when = datetime.datetime.fromtimestamp(started, datetime.timezone.utc).isoformat(timespec="seconds")
    run = {
        "started": when,
        "command": list(command),
        "host": platform.node(),
        "python": platform.python_version(),
        "provider": report.provider,
        "work": work,
        "made": made,
        "report": report.to_json(),
    }
    write_json(run_path(out), run, indent=1)
