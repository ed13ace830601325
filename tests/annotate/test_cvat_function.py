"""CVAT's function without cvat-sdk; with it: tests/annotate/formats/consumers."""

from __future__ import annotations

import importlib.util

import pytest

from poseunion.annotate.cvat_function import create
from poseunion.models.errors import MissingExtraError


@pytest.mark.skipif(importlib.util.find_spec("cvat_sdk") is not None, reason="cvat-sdk is installed")
def test_the_missing_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"needs cvat-sdk, .* pip install '\.\[cvat\]'"):
        create()
