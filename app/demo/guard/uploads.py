"""Reading of uploads, time limits, and errors of handlers as sentences on the page."""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder

from poseunion.app.demo.pictures import Picture, read_upload, safe_name
from poseunion.models.errors import BadFileError, ItemError, PoseUnionError
from poseunion.models.files import read_regular

log = logging.getLogger(__name__)
UNEXPECTED = "Something went wrong on the server; its log has the error."
TOO_LONG = "This took too long and was given up: try a smaller picture, or fewer."
# Pieces of work that were given up and still run, for Python cannot end a thread: each holds a core and its memory.
MOST_GIVEN_UP = 4
Result = TypeVar("Result")


@dataclass(frozen=True)
class Bounds:
    """Limits of one request for work: seconds, and bytes of an upload."""

    seconds: float = 120.0
    upload_bytes: int = 25_000_000


def picture_input(bounds: Bounds, **options: Any) -> gr.Image:
    """A `gr.Image` whose handlers get a `Picture`, or the ItemError of an upload that is none.

    Not a subclass: Gradio writes a file beside the source of every subclass.
    """
    component = gr.Image(**options)

    def read(payload: Any) -> Picture | ItemError | None:
        try:
            return within(bounds.seconds, lambda: _read(payload, bounds.upload_bytes))
        except ItemError as error:
            return error

    component.preprocess = read  # type: ignore[method-assign, assignment]
    return component


def _read(payload: Any, most_bytes: int) -> Picture | None:
    """Uploaded picture; its file stays until the cache is swept: equal uploads of several visitors are one file."""
    if payload is None:
        return None
    return read_upload(_content(payload, most_bytes), safe_name(payload.orig_name))


def _content(payload: Any, most_bytes: int) -> bytes:
    """The bytes of an upload; its path is checked here, since Gradio checks only payloads declared as files."""
    try:
        if payload.path is not None:
            return read_regular(checked_upload(payload.path, most_bytes), most_bytes)
        return base64.b64decode(str(payload.url or "").partition("base64,")[2], validate=True)
    except (BadFileError, binascii.Error) as error:
        raise ItemError("The upload did not arrive whole: send it again.") from error


def checked_upload(path: str, most_bytes: int) -> Path:
    """The path of an upload: a regular file below the upload folder, whatever links lie on the way.

    Raises:
        ItemError: it is none, or too large.
    """
    try:
        folder, found = Path(get_upload_folder()).resolve(), Path(path).resolve(strict=True)
        size = found.stat().st_size
    except (OSError, ValueError, RuntimeError) as error:
        raise ItemError("The upload did not arrive whole: send it again.") from error
    if not found.is_relative_to(folder) or not found.is_file():
        raise ItemError("That is no upload: choose a file again.")
    if size > most_bytes:
        raise ItemError(f"Uploads of more than {most_bytes / 1e6:g} MB are not taken.")
    return found


_given_up = threading.BoundedSemaphore(MOST_GIVEN_UP)


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Result of `work`; raises ItemError where it takes longer, so that waiting requests go on."""
    done: list[Result] = []
    failed: list[BaseException] = []
    lock = threading.Lock()
    ended = late = False

    def run() -> None:
        nonlocal ended
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)
        with lock:
            ended = True
            if late:
                _given_up.release()

    if not _given_up.acquire(blocking=False):
        raise ItemError("The server is busy with work that takes too long: try again later.")
    _given_up.release()
    thread = threading.Thread(target=run, daemon=True, name="visitor's work")
    thread.start()
    thread.join(seconds)
    with lock:
        if not ended:
            # Where all places are taken by now, this thread is not counted; no new work begins until one ends.
            late = _given_up.acquire(blocking=False)
    if not ended:
        log.error("A visitor's request was given up after %g s", seconds)
        raise ItemError(TOO_LONG)
    if failed:
        raise failed[0]
    return done[0]


def sentence(error: Exception) -> str:
    """Sentence shown for an error; an unexpected one goes to the server's log."""
    if isinstance(error, PoseUnionError):
        return str(error)
    log.error("A visitor's request failed", exc_info=error)
    return UNEXPECTED


def guarded(
    otherwise: Callable[[str], Any],
    bounds: Bounds | None = None,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """A decorator: where the handler fails, or takes longer than `bounds`, the visitor gets `otherwise(sentence)`."""

    def decorate(handler: Callable[..., Result]) -> Callable[..., Result]:
        @wraps(handler)
        def handle(*values: Any) -> Result:
            try:
                return handler(*values) if bounds is None else within(bounds.seconds, lambda: handler(*values))
            except Exception as error:
                return otherwise(sentence(error))

        return handle

    return decorate
