"""Gradio's picture input, read by us, and what goes wrong in a handler as a sentence on the stage."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from poseunion.app.demo.pictures import Picture, safe_name, take_in
from poseunion.models.errors import ItemError, PoseUnionError

log = logging.getLogger(__name__)
UNEXPECTED = "Something went wrong on the server; its log says what."
Result = TypeVar("Result")


def picture_input(**options: Any) -> gr.Image:
    """A `gr.Image` whose handlers get a `Picture`, or the ItemError that says why the upload is none.

    Not a subclass: Gradio writes a file beside the source of every subclass.
    """
    component = gr.Image(**options)
    component.preprocess = _read  # type: ignore[method-assign, assignment]
    return component


def _read(payload: Any) -> Picture | ItemError | None:
    """What was uploaded; its file stays until the cache is swept: equal uploads of several visitors are one file."""
    if payload is None:
        return None
    try:
        return take_in(_content(payload), safe_name(payload.orig_name))
    except ItemError as error:
        return error


def _content(payload: Any) -> bytes:
    """The bytes of an upload; Gradio has checked that its path lies among the uploads."""
    try:
        if payload.path is not None:
            return Path(payload.path).read_bytes()
        return base64.b64decode(str(payload.url or "").partition("base64,")[2], validate=True)
    except (OSError, binascii.Error) as error:
        raise ItemError("The upload did not arrive whole: send it again.") from error


def sentence(error: Exception) -> str:
    """What a visitor is told; what nobody expected goes to the server's log."""
    if isinstance(error, PoseUnionError):
        return str(error)
    log.error("A visitor's request failed", exc_info=error)
    return UNEXPECTED


def guarded(
    otherwise: Callable[[str], Any],
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """A decorator: where the handler fails, the visitor gets `otherwise(sentence)`."""

    def decorate(handler: Callable[..., Result]) -> Callable[..., Result]:
        @wraps(handler)
        def handle(*values: Any) -> Result:
            try:
                return handler(*values)
            except Exception as error:
                return otherwise(sentence(error))

        return handle

    return decorate
