"""``animatic train --dry-run``: one small step in a run's own processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestration.cli.common import err, only_results_on_stdout, out, print_result, print_warning
from orchestration.launch import LauncherName

if TYPE_CHECKING:
    from orchestration.workflows.dry_run import DryRun
    from orchestration.workflows.train_request import TrainOptions

_GIB = 1 << 30


def run_dry(options: TrainOptions, launcher: LauncherName, as_json: bool) -> None:
    """Make the step and print what was done."""
    from orchestration.workflows.train_request import prepare_training
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    request = prepare_training(options, workspace)
    from orchestration.workflows.dry_run import dry_run

    with only_results_on_stdout():
        done = dry_run(request, workspace, partial(print_warning, console=err()), launcher)
    print_result(done, partial(_print, done, request.title, launcher), as_json)


def _print(done: DryRun, title: str, launcher: LauncherName) -> None:
    result = done.result
    processes = _counted(result.processes, "process", "processes")
    out().print(
        f"dry run of {title}: {processes} on {result.device} by {launcher.value}, ZeRO {done.zero_stage}, "
        f"{done.precision}"
    )
    out().print(
        f"one step of {_clips(result.samples, result.frames)} (the run: {done.steps} steps of "
        f"{_clips(done.samples, done.frames)}), {result.trained_tensors} tensors trained"
    )
    applied = "" if result.applied else ", not applied: gradients not finite"
    out().print(f"loss {result.loss:.4f}{applied}")
    out().print(f"{'prepare':<10}{result.prepared_s:8.2f} s")
    for phase, seconds in result.phases.items():
        if seconds:
            out().print(f"{phase:<10}{seconds:8.2f} s")
    if result.peak_bytes is not None:
        out().print(f"peak of a GPU {result.peak_bytes / _GIB:.1f} GiB, for these few samples and frames")
    out().print(f"all of it took {done.seconds:.0f} s; nothing was written to the run folder or the ledger")


def _clips(samples: int, frames: int) -> str:
    return f"{_counted(samples, 'sample', 'samples')} of {_counted(frames, 'frame', 'frames')}"


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
