"""What a finished run lacks in its folder in a store, as after an outage at its end."""

import uuid
from collections.abc import Callable

from core.errors import AnimaticError
from core.lock import named_lock
from core.storage import StoreError
from models.bundle import INFO
from training.config import RunConfig
from training.run_folder import RunFolder
from training.upload.folder import RemoteFolder
from training.upload.joining import join_run
from training.upload.run_files import OPERATION_S, Upload


def has_bundle(remote: RemoteFolder) -> bool:
    """Whether the store has the run's bundle, all of it. Raises StoreError."""
    return INFO in remote.list("bundle")


def complete_upload(config: RunConfig, folder: RunFolder, warn: Callable[[str], None]) -> None:
    """Upload what a finished run lacks there; nothing without ``upload.url``, or where the bundle is there.

    Args:
        warn: gets a line where the store does not take it.
    """
    if config.upload.url is None:
        return
    try:
        if has_bundle(RemoteFolder(config.upload.url, OPERATION_S)):
            return
        remote = RemoteFolder(config.upload.url, config.upload.patience_s)
        with named_lock(folder.launch_lock, "train", folder=folder.path):
            launch = join_run(folder, f"upload {uuid.uuid4().hex}", config)
            Upload(folder, remote, launch).flush(last=True)
    except AnimaticError as error:
        warn(f"{error}; the same command uploads the rest")


def warn_if_incomplete(config: RunConfig, warn: Callable[[str], None]) -> None:
    """Warn where the store lacks the bundle of a run that has just finished."""
    if config.upload.url is None:
        return
    remote = RemoteFolder(config.upload.url, OPERATION_S)
    try:
        cause = None if has_bundle(remote) else "it did not take everything in time"
    except StoreError as error:
        cause = str(error)
    if cause is not None:
        warn(f"{remote} lacks the bundle ({cause}); the same command uploads the rest")
