"""Hold-out splits of training pictures, chosen by a hash of their file names."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Share of training pictures that no student is trained on: validation while training, and calibration afterwards.
HOLDOUT_SHARE = 0.08
# Share of the held-out pictures that no fit uses, tempering and calibration included: on their people the thresholds
# with a guarantee are chosen (`annotate extend --risk`).
GUARANTEE_SHARE = 0.65


def is_held_out(image_name: str) -> bool:
    """Whether a picture is kept from training; depends on its file name alone, so it is the same everywhere."""
    return _fraction(image_name, 0) < HOLDOUT_SHARE


def is_for_guarantee(image_name: str) -> bool:
    """Whether a held-out picture is also kept from the fits after training."""
    return _fraction(image_name, 4) < GUARANTEE_SHARE


def _fraction(image_name: str, byte: int) -> float:
    digest = hashlib.sha256(Path(image_name).name.encode()).digest()
    return int.from_bytes(digest[byte : byte + 4], "big") / 2**32
