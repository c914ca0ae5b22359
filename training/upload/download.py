"""Checkpoints of a remote folder that a run on this machine continues from."""

from collections.abc import Callable
from pathlib import Path

from core.errors import AnimaticError
from core.storage import StoreError
from training.checkpoints import Checkpoint, CheckpointStore, read_manifest
from training.upload.checkpoints import RemoteCheckpoint, RemoteCheckpoints, newest_usable, round_of


def later_checkpoint(
    remote: RemoteCheckpoints,
    store: CheckpointStore,
    local: Checkpoint | None,
    before: int | None,
    warn: Callable[[str], None],
    on_file: Callable[[], None] = lambda: None,
) -> Checkpoint | None:
    """The newest remote checkpoint, downloaded and verified, where it is later than the local one.

    Args:
        local: the newest local one, if any; the result where there is no later one.
        before: only checkpoints of an earlier step; None for any.
        warn: called for each that is skipped because it is damaged, and for a store that cannot be read.
        on_file: called after each file that is downloaded.

    Raises AnimaticError where another run wrote the remote one, the local disk is full, or nothing is local
    and the store cannot be read: the run would begin from the start.
    """
    try:
        after = (-1, -1) if local is None else (round_of(read_manifest(local.path)), local.step)
        for found in newest_usable(remote, after, before, warn):
            store.check(remote.url(found.name), found.manifest)
            added = store.add(found.step, found.manifest.size, _downloading(remote, found, on_file))
            if isinstance(added, Checkpoint):
                return added
            warn(f"checkpoint {remote.url(found.name)} is damaged and skipped: {added}")
    except StoreError as error:
        if local is None:
            raise AnimaticError(
                f"no checkpoint is here, and whether upload.url has one is unknown: {error}; rerun when its "
                "store answers, or set upload.url=null to begin without"
            ) from error
        warn(f"upload.url is not searched for later checkpoints: {error}")
    return local


def _downloading(
    remote: RemoteCheckpoints, found: RemoteCheckpoint, on_file: Callable[[], None]
) -> Callable[[Path], str | None]:
    return lambda folder: remote.download(found, folder, on_file)
