"""FiftyOne with a database of the file's own: nothing is shared or sent outside this machine.

FiftyOne reads its settings when it is imported and keeps one database a process: whoever opens a second file does so in
a second process, as the command line does.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError, PoseUnionError
from poseunion.models.locks import lock_file

DATASET = "review"
PROPOSALS = "proposals"  # its field of the labels that take tags
_DATABASE = "db"
PLUGINS = Path(__file__).parents[2] / "fiftyone_plugin" / "plugins"


def folder_of(file: Path) -> Path:
    """Where a file's review lives: database, cut-outs, lock."""
    return file.with_name(f"{file.name}.review")


def settings(folder: Path) -> dict[str, str]:
    """FiftyOne's environment: private, silent, and independent of the user's own set-up."""
    return {
        "FIFTYONE_SERVER": "1",  # its documents are read anew each time, whoever else changes them
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",
        "FIFTYONE_DATABASE_DIR": str(folder / _DATABASE),
        "FIFTYONE_DATABASE_NAME": "poseunion",
        "FIFTYONE_DATABASE_VALIDATION": "false",  # any mongod that a package brought is new enough
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_CONFIG_PATH": str(folder / "fiftyone.json"),  # need not exist; the user's may name another database
        "FIFTYONE_PLUGINS_DIR": str(PLUGINS),  # the review's own operators, and no others
        "FIFTYONE_DEFAULT_DATASET_DIR": str(folder / "datasets"),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
    }


def load(folder: Path) -> Any:
    """The package fiftyone, its database in `folder` running.

    Raises:
        MissingExtraError: fiftyone, or the package with its database, is not installed.
        PoseUnionError: the database does not start.
        BadArgumentError: this process already works on another file.
    """
    folder = folder.resolve()
    loaded = sys.modules.get("fiftyone")
    if loaded is not None and Path(loaded.config.database_dir) != folder / _DATABASE:
        raise BadArgumentError(
            f"This process has FiftyOne open on {loaded.config.database_dir}: review one file per process."
        )
    for name in ("FIFTYONE_DATABASE_URI", "FIFTYONE_PRIVATE_DATABASE_PORT", "FIFTYONE_DISABLE_SERVICES"):
        os.environ.pop(name, None)
    os.environ.update(settings(folder))
    try:
        import fiftyone
        from fiftyone.core.service import DatabaseService, ServiceExecutableNotFound
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name or "fiftyone").partition(".")[0], "review") from error
    # By this name FiftyOne finds a database that already runs; by its own it would take any, of whichever folder.
    DatabaseService.service_name = f"db-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    try:
        DatabaseService.find_mongod()
    except ServiceExecutableNotFound as error:
        raise MissingExtraError("FiftyOne's database (mongod)", "review") from error
    try:
        fiftyone.list_datasets()
    except Exception as error:  # mongod ends for many reasons, and FiftyOne passes on what it finds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PoseUnionError(
            f"FiftyOne's database in {folder / _DATABASE} does not start ({reason}): see {_DATABASE}/log/mongo.log "
            f"there, or remove {folder} to begin again."
        ) from error
    return fiftyone


def alone(folder: Path) -> AbstractContextManager[Any]:
    """Lock of a review; raises BadArgumentError when it is open already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFileError(
            f"Cannot use {folder}: {error.strerror or error}; free the place beside the file."
        ) from error
    return lock_file(folder / "lock", f"{folder} is open in another annotate review: end that one first.")
