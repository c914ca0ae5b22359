"""Examine this machine and the workspace."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from core.errors import AnimaticError
from core.urls import is_web
from models import PRIOR
from orchestration.registry import champion_bundle
from orchestration.workflows.doctor.checks import LEAST_DISK_GB, LEAST_MEMORY_GB, LIBRARIES, Check
from orchestration.workflows.doctor.shared_checks import reachable, shared_memory
from orchestration.workspace import Workspace


def examine(workspace: Workspace) -> list[Check]:
    """Run every check; a check that raises an error counts as failed."""
    checks = [_library(name) for name in LIBRARIES]
    probes: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("cores", _cores),
        ("memory", _memory),
        ("disk", lambda: _disk(workspace.root)),
        ("gpu", _gpu),
        ("h264 encoder", _encoder),
        ("ffmpeg", _ffmpeg),
        ("shared memory", shared_memory),
        ("prior", _prior),
        ("ledger", lambda: _ledger(workspace)),
        ("champion", lambda: _champion(workspace)),
        ("data", lambda: _data(workspace)),
    ]
    for name, probe in probes:
        try:
            checks.append(probe())
        except (ImportError, OSError, ValueError, RuntimeError, AnimaticError) as error:
            checks.append(Check(name, False, f"{type(error).__name__}: {error}"))
    if is_web(workspace.mlflow_uri):
        checks.append(reachable("mlflow", workspace.mlflow_uri))
    return checks


def _library(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed: run `make setup`")


def _python() -> Check:
    version = platform.python_version_tuple()
    return Check("python", (int(version[0]), int(version[1])) >= (3, 11), platform.python_version())


def _cores() -> Check:
    return Check("cores", True, f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Check("memory", total >= LEAST_MEMORY_GB, f"{total:.0f} GB")


def _disk(root: Path) -> Check:
    existing = next(path for path in (root.resolve(), *root.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    return Check("disk", free >= LEAST_DISK_GB, f"{free:.0f} GB free at {existing}")


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("gpu", False, "none: preset tiny runs on the CPU", needed=False)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Check("gpu", True, ", ".join(names))


def _encoder() -> Check:
    import av

    av.codec.Codec("libx264", "w")
    return Check("h264 encoder", True, f"libx264 in PyAV {av.__version__}")


def _ffmpeg() -> Check:
    import imageio_ffmpeg

    return Check("ffmpeg", True, imageio_ffmpeg.get_ffmpeg_exe())


def _prior() -> Check:
    from models.bundle import open_bundle

    if not (PRIOR / "bundle.json").exists():
        return Check("prior", False, "models/prior is missing: run `make prior`", needed=False)
    return Check("prior", True, open_bundle(PRIOR).id[:12], needed=False)


def _ledger(workspace: Workspace) -> Check:
    ledger = workspace.ledger
    chain = ledger.check()
    if chain.problems:
        return Check("ledger", False, f"{ledger}: {chain.problems[0]}")
    if chain.newer is not None:
        return Check("ledger", False, f"{chain.newer} of {ledger} is of a newer version: update animatic")
    if chain.remarks:
        return Check("ledger", False, f"{chain.remarks[0]}; the next entry replaces it")
    return Check("ledger", True, f"{len(chain.entries)} entries, chain verified")


def _champion(workspace: Workspace) -> Check:
    """Whether each preset's champion is still the bundle that was promoted: all its digests are compared."""
    ledger = workspace.ledger
    history = ledger.snapshot()
    presets = [preset for preset in history.presets() if history.champion(preset) is not None]
    if not presets:
        return Check("champion", True, "none yet", needed=False)
    found = [f"{champion_bundle(ledger, preset).id[:12]} ({preset})" for preset in presets]
    return Check("champion", True, ", ".join(found))


def _data(workspace: Workspace) -> Check:
    newest = workspace.newest_dataset()
    return Check("data", newest is not None, str(newest or "no dataset yet: `make data`"), needed=False)
