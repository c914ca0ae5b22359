"""The start of a run that has a folder in a store: what other machines have put there, and its number."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.errors import AnimaticError
from core.fencing import highest_launch, launcher_of, register_launch, registered_launch
from core.files import atomic_file, atomic_folder, create_folder
from core.storage import UnavailableError
from models.bundle import INFO, open_bundle
from training.config import RunConfig, load, trajectory_hash
from training.run_folder import RunFolder
from training.upload.folder import RemoteFolder
from training.upload.parts import parts_folder, read_parts
from training.upload.writers import Writers

logger = logging.getLogger(__name__)

# So long a store may not answer before that is reported.
QUIET_S = 10.0
_CONFIG = "config.yaml"
_SINGLE = (_CONFIG, "environment.json", "tracking/id")


def join_run(
    folder: RunFolder, launcher: str, config: RunConfig, warn: Callable[[str], None] = logger.warning
) -> int:
    """The number of the launch that ``launcher`` identifies: see :func:`core.fencing.register_launch`.

    Where the run has a folder in a store (``upload.url``), the number is the highest there too, and what
    other machines have uploaded since this one took part is restored first: journal, logs, samples, bundle.
    Checkpoints are restored when the run resumes.

    Args:
        warn: gets a line where the store does not answer at once.

    Raises AnimaticError where the store does not answer for ``upload.patience_s``, refuses, or contains
    another run; and OSError.
    """
    known = registered_launch(folder.writers, launcher)
    if config.upload.url is None or known is not None:
        return known or register_launch(folder.writers, launcher)
    url, patience_s = config.upload.url, config.upload.patience_s
    try:
        try:
            return _join(folder, launcher, config, RemoteFolder(url, min(QUIET_S, patience_s)))
        except UnavailableError as error:
            warn(f"{error}: trying again for {patience_s:.0f} s (upload.patience_s)")
            return _join(folder, launcher, config, RemoteFolder(url, patience_s))
    except UnavailableError as error:
        raise AnimaticError(
            f"{error}: upload.url does not answer, so it is unknown whether another machine has continued "
            "this run; start again once it does, or without upload.url"
        ) from error


def _join(folder: RunFolder, launcher: str, config: RunConfig, remote: RemoteFolder) -> int:
    writers = Writers(remote)
    highest = writers.highest()
    if highest:
        _check_same_run(remote, config)
        writer = writers.read(highest)
        if writer is None or launcher_of(folder.writers, highest) != writer.launcher:
            restore(folder, remote)
    number = max(highest, highest_launch(folder.writers)) + 1
    while not writers.register(number, launcher):
        number += 1
    if register_launch(folder.writers, launcher, at_least=number) != number:
        raise AnimaticError(f"{folder.path} was started twice at the same moment: start it again")
    return number


def _check_same_run(remote: RemoteFolder, config: RunConfig) -> None:
    """Raise AnimaticError where the store has a run of other settings."""
    try:
        content = remote.read(_CONFIG)
    except FileNotFoundError:
        return
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        found = load(Path(file.name))
    if trajectory_hash(found) != trajectory_hash(config):
        raise AnimaticError(
            f"{remote} contains a run of other settings (stage {found.stage}, preset {found.preset}): name "
            "another folder (upload.url, or --out)"
        )


def restore(folder: RunFolder, remote: RemoteFolder) -> None:
    """Bring the run folder up to date with what other machines have uploaded, checkpoints left out.

    What this machine has beyond that, and others have not continued, stays. A journal or log that others have
    continued otherwise is kept beside the restored one.

    Raises StoreError, and AnimaticError for a damaged bundle.
    """
    create_folder(folder.path)
    names = remote.list()
    suffix = parts_folder("")
    grown = {name.partition(f"{suffix}/")[0] for name in names if f"{suffix}/" in name}
    for name in sorted(grown):
        _restore_grown(folder.path / name, remote, name)
    wanted = [name for name in names if name in _SINGLE or name.startswith("samples/")]
    for name in wanted:
        _restore_file(folder.path / name, remote, name)
    if f"bundle/{INFO}" in names and not folder.bundle.exists():
        with atomic_folder(folder.bundle) as partial:
            for name in names:
                if name.startswith("bundle/"):
                    _fetch(partial / name.removeprefix("bundle/"), remote, name)
            open_bundle(partial, verify=True)
    logger.info("restored %s from %s", folder.path, remote)


def _restore_grown(path: Path, remote: RemoteFolder, name: str) -> None:
    content = read_parts(remote, name)
    own = path.read_bytes() if path.is_file() else b""
    if content is None or own.startswith(content):
        return
    if not content.startswith(own):
        kept = path.with_name(f"{path.name}.before-{len(own)}")
        path.replace(kept)
        logger.warning("%s was continued by another machine: what this one had is in %s", path, kept)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _restore_file(path: Path, remote: RemoteFolder, name: str) -> None:
    if path.is_file() and remote.has(name, path):
        return
    with atomic_file(path) as partial:
        remote.get(name, partial)


def _fetch(path: Path, remote: RemoteFolder, name: str) -> None:
    create_folder(path.parent)
    remote.get(name, path)
