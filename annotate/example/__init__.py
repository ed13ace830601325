"""Three public-domain pictures with MPII-16 labels of our own: what `--dataset example` extends.

The pictures are not in this package: they are read from scikit-image and matplotlib, which come with the `example`
extra. The labels in `labels.json` were set by hand on the enlarged pictures. A joint that lies outside the picture, or
that clothing hides too well to be placed, has no label.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import read_json, write_bytes
from poseunion.models.images import image_size

LABELS = Path(__file__).parent / "labels.json"


def example_dataset(folder: Path) -> tuple[Path, Path]:
    """Put the example's pictures into `folder`.

    Returns:
        The annotation file (COCO style, 16 keypoints in MPII's order) and the folder of its pictures.

    Raises:
        MissingExtraError: scikit-image or matplotlib is absent.
        BadFileError: an installed picture is not the one that was labelled, or the folder cannot be written.
    """
    for record in read_json(LABELS)["images"]:
        path = folder / record["file_name"]
        content = _PICTURES[record["file_name"]]()
        found, expected = image_size(content), (record["width"], record["height"])
        if found != expected:
            raise BadFileError(
                f"The installed {path.name} has {found[0]}x{found[1]} pixels, its labels were made on "
                f"{expected[0]}x{expected[1]}: install another version of the package it comes from."
            )
        write_bytes(path, content)
    return LABELS, folder


def _astronaut() -> bytes:
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise MissingExtraError("scikit-image", "example") from error
    return _png(np.asarray(astronaut())[..., ::-1])


def _camera() -> bytes:
    try:
        from skimage.data import camera
    except ImportError as error:
        raise MissingExtraError("scikit-image", "example") from error
    return _png(np.asarray(camera()))


def _grace_hopper() -> bytes:
    try:
        from matplotlib.cbook import get_sample_data
    except ImportError as error:
        raise MissingExtraError("matplotlib", "example") from error
    return Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False))).read_bytes()


def _png(image_bgr_or_grey: NDArray[np.uint8]) -> bytes:
    _, encoded = cv2.imencode(".png", image_bgr_or_grey)
    return bytes(encoded.tobytes())


_PICTURES: dict[str, Callable[[], bytes]] = {
    "astronaut.png": _astronaut,
    "camera.png": _camera,
    "grace_hopper.jpg": _grace_hopper,
}
