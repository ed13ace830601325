"""`annotate review --install-plugin`: copies the plugin and the zoo model into the user's own FiftyOne.

The copies import this package, so that they stay as they are when it is updated.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from poseunion.annotate.review.fiftyone.database import PLUGINS
from poseunion.models.errors import BadFileError, MissingExtraError

ZOO = Path(__file__).parent / "zoo"
# As in its manifest.json. FiftyOne imports the folder as a module of this name: "poseunion" would hide this package.
ZOO_NAME = "poseunion-zoo"


def install() -> dict[str, Path]:
    """Copy the folders to those of FiftyOne's settings, in place of earlier copies; returns name -> folder.

    Raises:
        MissingExtraError: fiftyone is not installed. BadFileError: a folder cannot be written.
    """
    try:
        import fiftyone as fo
    except ModuleNotFoundError as error:
        raise MissingExtraError("fiftyone", "review") from error
    plugin, zoo = Path(fo.config.plugins_dir) / "@poseunion" / "complete", Path(fo.config.model_zoo_dir) / ZOO_NAME
    for source, target in ((PLUGINS / "complete", plugin), (ZOO, zoo)):
        try:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        except OSError as error:
            raise BadFileError(f"Cannot write {target}: {error.strerror or error}.") from error
    return {"plugin @poseunion/complete": plugin, "zoo model poseunion-unified": zoo}
