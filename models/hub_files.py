"""Model files of the Hugging Face Hub: `hf://owner/name@revision`, from the local cache first, compared by SHA-256.

A repository has `config.json`, its manifest, beside the files that it names. All files come from one commit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError
from poseunion.models.files import first_fault, read_json, sha256_of

HUB_PREFIX = "hf://"
HUB_MANIFEST = "config.json"  # the file by which the Hub counts downloads
_REFERENCE = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")

# A file at the top of the repository: no folders, nothing hidden.
FileName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]


class HubManifest(BaseModel):
    """Manifest of a model's repository.

    Attributes:
        name: of the model; its file is `<name>.onnx`.
        files: file -> its SHA-256.
        skeleton, keypoints: of the output, in order.
        accuracy: annotation file -> measure -> percent; empty: not measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: Literal["poseunion"] = "poseunion"
    schema_version: Literal[1] = 1
    name: FileName
    files: dict[FileName, str] = Field(min_length=1)
    skeleton: str
    keypoints: list[str]
    size_wh: tuple[int, int]
    licence: str
    accuracy: dict[str, dict[str, float]]

    @model_validator(mode="after")
    def _has_model(self) -> HubManifest:
        if self.model_file not in self.files:
            raise ValueError(f"files has no {self.model_file}")
        return self

    @property
    def model_file(self) -> str:
        """File name of the model."""
        return f"{self.name}.onnx"


def read_hub_manifest(path: Path) -> HubManifest:
    """Manifest in a file; raises BadFileError."""
    try:
        return HubManifest.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(
            f"{path} is not the manifest of a poseunion model: {first_fault(error)}; is it another library's?"
        ) from error


def model_in_folder(folder: Path) -> Path:
    """Path of the model in a folder that has the files of a repository; raises BadFileError where one differs."""
    manifest = read_hub_manifest(folder / HUB_MANIFEST)
    for name, sha256 in manifest.files.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise BadFileError(
                f"{path} is not the file that {HUB_MANIFEST} names (SHA-256): remove it and fetch the model again."
            )
    return folder / manifest.model_file


def model_of_reference(reference: str) -> Path:
    """Path of the model that `hf://owner/name` or `hf://owner/name@revision` names, in the local cache.

    What the cache has is used as it is; only what it lacks is fetched. A revision is a commit, tag or branch.

    Raises:
        BadArgumentError: not such a reference. BadFileError: neither in the cache nor to be fetched, or not the file
            that the manifest names. MissingExtraError: huggingface_hub is not installed.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise BadArgumentError(f"{reference} names no repository: give hf://owner/name or hf://owner/name@revision.")
    return model_of_repository(found["repository"], found["revision"], cache_first=True)


def model_of_repository(repository: str, revision: str | None, *, cache_first: bool, **options: Any) -> Path:
    """Path of a repository's model, in the local cache; errors as in `model_of_reference`.

    Args:
        cache_first: ask the Hub only for what the cache lacks.
        options: of `huggingface_hub.hf_hub_download`.
    """
    path = _fetched(repository, HUB_MANIFEST, revision, cache_first, options)
    commit = path.parent.name
    for name in read_hub_manifest(path).files:
        _fetched(repository, name, commit, cache_first, options)
    return model_in_folder(path.parent)


def _fetched(repository: str, name: str, revision: str | None, cache_first: bool, options: dict[str, Any]) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    try:
        if cache_first:
            try:
                return Path(hf_hub_download(repository, name, revision=revision, local_files_only=True, **options))
            except LocalEntryNotFoundError:
                pass
        return Path(hf_hub_download(repository, name, revision=revision, **options))
    except HFValidationError as error:
        raise BadArgumentError(f"{repository} is no repository of the Hub: give owner/name.") from error
    except LocalEntryNotFoundError as error:
        raise BadFileError(
            f"{_named(repository, revision)} has no {name} in the local cache, and the Hub cannot be reached: "
            f"fetch it where there is a network with `hf download {repository}`."
        ) from error
    except (EntryNotFoundError, OSError) as error:  # OSError: what the Hub answers, and a full disk
        raise BadFileError(
            f"Cannot get {name} of {_named(repository, revision)} from the Hub: {str(error).strip().splitlines()[0]}"
        ) from error


def _named(repository: str, revision: str | None) -> str:
    return repository if revision is None else f"{repository}@{revision}"
