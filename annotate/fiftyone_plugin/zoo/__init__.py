"""Remote model source of FiftyOne's zoo: `foz.load_zoo_model("poseunion-unified")`; the weights are this package's.

`annotate review --install-plugin` copies this folder into FiftyOne's, and FiftyOne itself takes an archive that has it:
no module of this package can be imported here before `load_model`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def download_model(model_name: str, model_path: str) -> None:
    """Nothing to download: the file marks the model as there."""
    Path(model_path).write_text("The network is part of the package poseunion.\n", encoding="utf-8")


def load_model(model_name: str, model_path: str, **options: Any) -> Any:
    """The model, with the options of `PoseModel`; raises ImportError where FiftyOne runs without this package."""
    try:
        import poseunion  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(
            "The model runs in the package poseunion, which is not installed: install it, with its extra `review`, "
            "where FiftyOne is."
        ) from error
    from poseunion.annotate.fiftyone_plugin.zoo_model import PoseModel

    return PoseModel(model_name.removeprefix("poseunion-"), **options)
