"""What can start the processes of a run."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orchestration.launch.watch import OnLook
    from training.config import RunConfig
    from training.result import Finished


class LauncherName(StrEnum):
    """As the command names launchers."""

    RAY = "ray"
    TORCHRUN = "torchrun"


class Launcher(Protocol):
    """A run that is ready to start."""

    def run(self) -> Finished:
        """Train to the bundle, or make the one step of a dry run: see :meth:`RayTrainLauncher.run`."""
        ...


def prepare_launch(
    name: LauncherName,
    config: RunConfig,
    run_dir: Path,
    launch: int,
    report: Callable[[str], None],
    on_look: OnLook | None = None,
    *,
    dry_run: bool = False,
) -> Launcher:
    """A launcher that has what the run needs: see the constructors of the two. Raises AnimaticError.

    ``dry_run``: the processes make the one step of :func:`training.dry_run.dry_run`.
    """
    if name is LauncherName.TORCHRUN:
        from orchestration.launch.torchrun import TorchrunLauncher

        return TorchrunLauncher(config, run_dir, launch, report, on_look, dry_run=dry_run)
    from orchestration.launch.ray_train import RayTrainLauncher

    return RayTrainLauncher(config, run_dir, launch, report, on_look, dry_run=dry_run)
