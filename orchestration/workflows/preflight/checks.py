"""Whether a run that is about to start can be written, copied and recorded, and has memory enough.

Data and bundles are opened and verified before, by ``prepare_training``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import AnimaticError
from orchestration.planner.states import bundle_bytes, checkpoint_bytes
from orchestration.workflows.attempts import Attempts
from orchestration.workflows.doctor.checks import GB, Check
from orchestration.workflows.doctor.shared_checks import shared_memory
from orchestration.workflows.preflight.gpu import gpu_memory
from orchestration.workflows.preflight.services import store_writable, trackers
from orchestration.workspace import Workspace
from training.checkpoints import Retention, complete_checkpoints, step_of
from training.config import RunConfig, load
from training.config.identity import differing_settings
from training.moments_8bit import check_installed
from training.run_folder import RunFolder

_NAMED = 5  # settings


def preflight(config: RunConfig, run_dir: Path, workspace: Workspace) -> list[Check]:
    """All checks of a run, those that failed and are needed first, then the other failed ones."""
    checks = list(_checks(config, run_dir, workspace))
    return sorted(checks, key=lambda check: (check.ok, not check.needed))


def checked(config: RunConfig, run_dir: Path, workspace: Workspace, warn: Callable[[str], None]) -> None:
    """Pass each warning of the preflight to ``warn``. Raises AnimaticError that names all that is needed."""
    attempts = Attempts()
    for check in preflight(config, run_dir, workspace):
        if not check.ok and check.needed:
            attempts.keep(AnimaticError(check.found))
        elif not check.ok:
            warn(f"{check.name}: {check.found}")
    attempts.raise_any()


def _checks(config: RunConfig, run_dir: Path, workspace: Workspace) -> Iterator[Check]:
    yield from settings(config, run_dir)
    if _is_local(config):
        yield from packages(config)
    yield disk_room(config, run_dir)
    if config.upload.url is not None:
        resuming = bool(complete_checkpoints(RunFolder(run_dir).checkpoints))
        yield store_writable(config.upload.url, resuming=resuming)
    yield from trackers(config.tracking, workspace.mlflow_uri)
    # Of other machines `animatic doctor` reports.
    if _is_local(config) and config.launch.gpus_per_worker:
        if config.launch.workers > 1:
            yield shared_memory()
        yield from gpu_memory(config)


def settings(config: RunConfig, run_dir: Path) -> Iterator[Check]:
    """Whether a run that resumes has the settings that it began with, as far as they decide its weights."""
    folder = RunFolder(run_dir)
    if not (complete_checkpoints(folder.checkpoints) and folder.config.is_file()):
        return
    differing = differing_settings(load(folder.config), config)
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        yield Check(
            "settings",
            False,
            f"{run_dir} was begun with other settings ({', '.join(differing[:_NAMED])}{more}): restore them "
            f"from {folder.config}, choose another run folder (--out), or continue a checkpoint with other "
            "settings of `optimizer` there (init.checkpoint)",
        )


def packages(config: RunConfig) -> Iterator[Check]:
    """Whether packages of extras that a run needs are installed."""
    try:
        check_installed(config)
    except AnimaticError as error:
        yield Check("packages", False, str(error))


def disk_room(config: RunConfig, run_dir: Path) -> Check:
    """Room for the checkpoints that are kept, the one that is being written, and the bundle."""
    folder = existing(run_dir)
    each, bundle = checkpoint_bytes(config), bundle_bytes(config)
    present = _replaced_bytes(RunFolder(run_dir).checkpoints, config)
    kept = config.train.keep_checkpoints + 1
    needed = max(0, kept * each - present) + bundle
    free = shutil.disk_usage(folder).free
    figures = (
        f"{free / GB:.3g} GB free at {folder}; {kept} checkpoints of {each / GB:.3g} GB and the bundle of "
        f"{bundle / GB:.3g} GB"
    )
    if free >= needed:
        return Check("disk", True, figures)
    fix = "free some of it, choose another folder with --out, or set train.keep_checkpoints lower"
    return Check("disk", False, f"{figures} need {needed / GB:.3g} GB: {fix}")


def _replaced_bytes(checkpoints: Path, config: RunConfig) -> int:
    """Of the checkpoints that later ones will replace, and what interrupted saves have left."""
    retention = Retention(config.train.keep_checkpoints, config.train.keep_every)
    stay = {path for path in complete_checkpoints(checkpoints) if retention.keeps_for_good(step_of(path))}
    return sum(_bytes(file) for file in checkpoints.rglob("*") if stay.isdisjoint(file.parents))


def _bytes(path: Path) -> int:
    """Of a file; 0 for what is none, or was deleted meanwhile by a run that this one takes over from."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    resolved = path.resolve()
    return next(each for each in (resolved, *resolved.parents) if each.exists())


def _is_local(config: RunConfig) -> bool:
    address = config.launch.address or os.environ.get("RAY_ADDRESS")
    return address in (None, "", "local")
