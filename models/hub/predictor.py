"""Predictor with `from_pretrained`, `save_pretrained` and `push_to_hub`, huggingface_hub's mixin for any framework.

>>> predict = HubPredictor("unified")
>>> predict.save_pretrained("folder")  # doctest: +SKIP
>>> predict.push_to_hub("owner/name", private=True)  # doctest: +SKIP
>>> HubPredictor.from_pretrained("owner/name", revision="a1b2c3d")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin

from poseunion.models.calibration.conditioning_parameters import tempering_path
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import sha256_of, write_json
from poseunion.models.hub.card import model_card
from poseunion.models.hub_files import (
    HUB_MANIFEST,
    HubManifest,
    model_in_folder,
    model_of_repository,
)
from poseunion.models.inference.predictor import BATCH_SIZE, Predictor, open_model
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.engine_record import ENGINE_SUFFIX
from poseunion.models.zoo import WEIGHTS, accuracy_of


class HubPredictor(Predictor, ModelHubMixin, library_name="poseunion", pipeline_tag="keypoint-detection"):
    """Predictor that is saved to, and loaded from, a folder or a repository of the Hub.

    A folder has the model, its conditioning parameters where they lie beside it, `config.json` with their SHA-256, the
    licence, and README.md, a model card whose `model-index` has the measured accuracy.

    Args:
        model: a shipped model's name, a described `.onnx` file, `hf://owner/name`, or an opened model.
        flip, batch_size: as `Predictor`.

    Raises:
        BadArgumentError: a TensorRT engine, which runs only on the GPU that it was built for, or a network whose
            skeleton is a file.
    """

    def __init__(
        self, model: PoseModel | str | Path = "unified", *, flip: bool = False, batch_size: int = BATCH_SIZE
    ) -> None:
        opened = model if isinstance(model, PoseModel) else open_model(model)
        if opened.path.suffix == ENGINE_SUFFIX:
            raise BadArgumentError(
                f"{opened.path} runs on one kind of GPU alone: publish the .onnx that it was built from."
            )
        if opened.description.skeleton.endswith(".toml"):
            raise BadArgumentError(
                f"{opened.path} has the skeleton {opened.description.skeleton}, a file that others lack: only networks "
                "of shipped skeletons can be published."
            )
        super().__init__(opened, flip=flip, batch_size=batch_size)

    @property
    def manifest(self) -> HubManifest:
        """Manifest that `save_pretrained` writes."""
        return HubManifest(
            name=self._file_stem,
            files={name: sha256_of(part) for name, part in self._parts.items()},
            skeleton=self.metadata.skeleton,
            keypoints=list(self.skeleton.keypoints),
            size_wh=self.size_wh,
            licence=self.metadata.licence,
            accuracy=accuracy_of(self.model.path),
        )

    @property
    def _file_stem(self) -> str:
        """The model's name without what a file of the Hub cannot have."""
        return re.sub(r"[^\w.-]+", "-", self.name).lstrip(".-") or "model"

    @property
    def _parts(self) -> dict[str, Path]:
        """File in the repository -> the model, and its description and conditioning parameters that lie beside it."""
        path, stem = self.model.path, self._file_stem
        parts = {".onnx": path, ".toml": path.with_suffix(".toml"), ".evidence.json": tempering_path(path)}
        return {f"{stem}{ending}": part for ending, part in parts.items() if part.is_file()}

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Publish the model in one commit, and return the commit's address.

        Args:
            repo_id: `owner/name`; the repository is made if it is not there, public unless `private=True`.
            options: of `ModelHubMixin.push_to_hub`: private, branch, create_pr, commit_message, token.
        """
        return super().push_to_hub(repo_id, model_card_kwargs={"repository": repo_id}, **options)

    def generate_model_card(self, *args: Any, repository: str = "OWNER/NAME", **options: Any) -> ModelCard:
        """Model card with the accuracy as `model-index`, see `card.model_card`."""
        path = self.model.path
        card = WEIGHTS / f"{path.stem}.md"
        own = card.read_text(encoding="utf-8") if path.parent == WEIGHTS and card.is_file() else ""
        return model_card(self.manifest, repository, own)

    def _save_pretrained(self, save_directory: Path) -> None:
        manifest, path = self.manifest, self.model.path
        for name, part in self._parts.items():
            shutil.copyfile(part, save_directory / name)
        if open_model(save_directory / manifest.model_file).description != self.metadata:
            raise BadArgumentError(
                f"{path} has another description: put the one that counts beside it, {path.stem}.toml."
            )
        write_json(save_directory / HUB_MANIFEST, manifest.model_dump(mode="json"), indent=1)
        (save_directory / "LICENSE").write_text(f"{manifest.licence or 'No licence is stated.'}\n", encoding="utf-8")
        if path.parent == WEIGHTS and (notice := _notice()):
            (save_directory / "NOTICE").write_text(notice, encoding="utf-8")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, revision: str | None, **options: Any) -> HubPredictor:
        given = {name: options.pop(name) for name in ("flip", "batch_size") if name in options}
        folder = Path(model_id)
        if folder.is_dir():
            return cls(model_in_folder(folder), **given)
        return cls(model_of_repository(model_id, revision, cache_first=False, **options), **given)


def _notice() -> str:
    """The package's NOTICE: copyright of what the shipped networks began from."""
    files = importlib.metadata.files("poseunion") or ()
    return next((Path(str(file.locate())).read_text("utf-8") for file in files if file.name == "NOTICE"), "")
