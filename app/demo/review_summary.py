"""Counts of a review, and the text at its end: what was decided, and the commands that come next."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.point_states import UNDECIDED, WITHDRAWN
from poseunion.annotate.formats.review_entries import NEEDS_FIX
from poseunion.app.demo.review_queue import (
    ALL_PROPOSALS,
    DECIDED,
    QUESTIONS,
    STATES,
    Filter,
    readable,
)
from poseunion.app.demo.review_session import ReviewFile

SAVE = "Save the reviewed file: it is removed from the server when this page is closed."
NAMES = {**STATES, WITHDRAWN: WITHDRAWN, UNDECIDED: "left"}


def side_content(review: ReviewFile, shown: Filter, person: str) -> dict[str, Any]:
    """What stands beside the picture: the filter's lists, the person's number, and counts that add up."""
    queue, counts = review.queue, review.queue.counts
    return {
        "question": shown.question,
        "keypoint": shown.keypoint,
        "questions": list(QUESTIONS.items()),
        "keypoints": [["", "All keypoints"], *([name, readable(name)] for name in queue.keypoints)],
        "person": person,
        "counts": [
            [UNDECIDED, counts[UNDECIDED]],
            ["decided", sum(counts[what] for what in DECIDED)],
            [WITHDRAWN, counts[WITHDRAWN]],
            ["total", queue.total],
        ],
        "left_out": queue.left_out_sentence(),
    }


def summary(review: ReviewFile, shown: Filter, images: Path, *, own: bool = False) -> str:
    """HTML of the end of a queue: counts of the whole file, and what to run next.

    Args:
        images: folder of its pictures.
        own: the file is a visitor's, who has it elsewhere once it is saved.
    """
    counts = review.queue.counts
    file, folder = (Path(review.path.name), "DIR") if own else (review.path, str(images))
    waiting = counts[UNDECIDED] + counts[WITHDRAWN]
    if not waiting:
        title = "Every proposal is decided"
    elif shown == ALL_PROPOSALS:
        title = f"End of the queue: {waiting} proposals wait"
    else:
        keypoint = f", {readable(shown.keypoint)}" if shown.keypoint else ""
        title = f"Nothing is left here: {QUESTIONS[shown.question]}{keypoint}"
    rows = "".join(f"<tr><th scope='row'>{name}</th><td>{counts[key]}</td></tr>" for key, name in NAMES.items())
    rows += f"<tr><th scope='row'>total</th><td>{review.queue.total}</td></tr>"
    notes = [review.queue.left_out_sentence()]
    if review.queue.beside:
        notes.append(f"{review.queue.beside} decisions are on other keypoints, such as labels corrected by hand.")
    if counts[NEEDS_FIX]:
        notes.append(f"{counts[NEEDS_FIX]} points wait to be moved: choose the question “{QUESTIONS['fix']}”.")
    release = file.with_name(f"{file.stem}-release")
    commands = [
        ["annotate", "apply", str(file)],
        ["annotate", "release", str(file), "--images", folder, "--out", str(release)],
    ]
    return (
        f"<section class='review-summary'><h2>{escape(title)}</h2><table>{rows}</table>"
        + "".join(f"<p>{escape(note)}</p>" for note in notes if note)
        + f"<p>{SAVE if own else 'Every decision is saved.'} What to run next:</p>"
        + f"<pre>{escape(chr(10).join(map(shlex.join, commands)))}</pre></section>"
    )
