"""A training run on this machine under torchrun, which owns its processes and their restarts.

``training.entry`` is what each process runs. Through a status folder it reports what it does and how the run
ended, so that torchrun starts the processes again only where that can help.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import AnimaticError
from core.files import write_text
from orchestration.devices import device_count
from orchestration.launch.frozen import end_frozen
from orchestration.launch.outcome import raise_stopped, result_of
from orchestration.launch.signals import StopSignals
from orchestration.launch.watch import PATIENCE_S, WATCH_S, LongWaits, OnLook, signs, stalled
from training.batch_shares import fitting_workers
from training.config import RunConfig, dump_yaml
from training.control import Phase
from training.heartbeats import HeartbeatFolder
from training.processes.output import worker_log
from training.processes.signs_of_life import Seen
from training.processes.status_folder import StatusFolder
from training.result import Finished

_LOOK_S = 0.2
# Until processes that do not end by themselves are killed: others have failed, or the user stops at once.
_GRACE_S = 5


class TorchrunLauncher:
    """Runs ``config`` in ``run_dir`` (absolute) on as many processes of this machine as it asks for; on
    fewer, down to ``launch.min_workers``, where it has no processors for all."""

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        launch: int,
        report: Callable[[str], None],
        on_look: OnLook | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        """Starts nothing yet.

        Args:
            launch: its number in the run folder: see ``core.fencing``.
            report: gets a line on what a run waits for, where that is long.
            on_look: gets the processes' signs of life every few seconds.
            dry_run: the processes make one small step, see :mod:`training.dry_run`.

        Raises:
            AnimaticError: this machine has fewer GPUs or cores than the run has processes.
        """
        self._workers, self._dry_run = _workers_here(config), dry_run
        self._config, self._run_dir, self._launch = config, run_dir, launch
        self._heartbeats = HeartbeatFolder(run_dir)
        self._report, self._on_look, self._waits = report, on_look, LongWaits(report)

    def run(self) -> Finished:
        """Train to the bundle; processes that die are replaced and resume from the newest checkpoint.

        Signals act as on a run on Ray: see :meth:`RayTrainLauncher.run`.

        Raises:
            AnimaticError: training failed more often than it is restarted (the message names the log), or
                ended with an error that the user can fix.
            KeyboardInterrupt: SIGINT stopped the run.
            StoppedBySignal: SIGTERM or SIGHUP did.
        """
        with tempfile.TemporaryDirectory(prefix="animatic-run-") as temporary:
            folder = Path(temporary)
            write_text(folder / "config.yaml", dump_yaml(self._config))
            status = StatusFolder(folder)
            status.write_launcher()
            with StopSignals() as signals:
                code = self._follow(self._start(folder), status, signals)
            return self._result(status, code)

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        """torchrun, whose output, and what the processes print before they have logs, goes to a log."""
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"),
            f"--nproc-per-node={self._workers}",
            f"--max-restarts={self._config.launch.restarts}",
            f"--shutdown-timeout={_GRACE_S}",
            *("-m", "training", str(folder / "config.yaml"), "--run-dir", str(self._run_dir)),
            *("--status", str(folder), "--launch", str(self._launch)),
            *(["--dry-run"] if self._dry_run else []),
        ]
        # A folder "training" of the working folder is not the package, which is where this code is.
        code = str(Path(__file__).resolve().parents[2])
        paths = [code, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        log = self._log()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            # In a session of its own, a terminal's Ctrl-C reaches this process alone.
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _follow(self, torchrun: subprocess.Popen[bytes], status: StatusFolder, signals: StopSignals) -> int:
        """Wait for the end; the exit code. Raises as :meth:`run` where a signal ends the run at once."""
        forwarded, looked = False, time.monotonic()
        try:
            while True:
                try:
                    return torchrun.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    pass
                if time.monotonic() - looked >= WATCH_S:
                    looked = time.monotonic()
                    self._look(status)
                if signals.first is None:
                    continue
                if signals.repeated or not (forwarded or self._is_training()):
                    raise_stopped(signals.first, None)
                if not forwarded:
                    forwarded = True
                    self._pass_on(signals.first)
        finally:
            _end(torchrun)

    def _look(self, status: StatusFolder) -> None:
        reports = self._heartbeats.of_launch(self._launch)
        seen = [each.seen for each in reports]
        found = stalled(seen) if seen else None
        if self._on_look is not None:
            self._on_look(signs(seen), 0.0 if found is None else found.seconds)
        self._waits.see(found)
        frozen = end_frozen(reports)
        if frozen is not None:
            self._report(f"{frozen.message}: the processes are ended, and torchrun restarts them")
            status.fail(frozen, reports[0].heartbeat.restart)

    def _seen(self) -> list[Seen]:
        return [each.seen for each in self._heartbeats.of_launch(self._launch)]

    def _is_training(self) -> bool:
        """Whether a process has begun its steps, so that stopping without a checkpoint would lose some."""
        running = (each.beat.phase for each in self._seen() if each.ago_s < PATIENCE_S)
        return any(phase > Phase.READING_CHECKPOINT for phase in running)

    def _pass_on(self, signum: int) -> None:
        """Have the processes stop with a checkpoint: torchrun itself would leave them a few seconds."""
        name = signal.Signals(signum).name
        self._report(f"{name}: stopping with a checkpoint after this step; once more stops at once")
        for each in self._seen():
            if each.ago_s < PATIENCE_S:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.beat.pid, signum)

    def _result(self, status: StatusFolder, code: int) -> Finished:
        outcome = status.outcome()
        if outcome is None:
            raise AnimaticError(self._failure(status, code))
        return result_of(outcome)

    def _failure(self, status: StatusFolder, code: int) -> str:
        """One line with the cause, the process and its log: as ``failure_message`` for a run on Ray."""
        from orchestration.launch.failures import failure_message

        restarts = self._config.launch.restarts
        reported = status.failures(restarts)
        if not reported:
            return (
                f"torchrun ended with exit code {code}: its processes were killed, as when memory runs out, "
                f"or did not start; see {self._log()}"
            )
        return failure_message({}, reported, self._run_dir, workers=self._workers, attempts=restarts + 1)

    def _log(self) -> Path:
        return worker_log(self._run_dir, 0).with_name("torchrun.log")


def _workers_here(config: RunConfig) -> int:
    """The number of processes to start. Raises AnimaticError where this machine is too small."""
    if config.launch.address is not None:
        raise AnimaticError("launch.address is without effect with torchrun, which trains on this machine")
    gpus = bool(config.launch.gpus_per_worker)
    found = device_count() if gpus else os.cpu_count() or 1
    if config.launch.min_workers is None:
        fitting, setting = [config.launch.workers], "workers"
    else:
        fitting, setting = fitting_workers(config), "min_workers"
    if found < fitting[-1]:
        kind = "GPUs" if gpus else "CPUs"
        raise AnimaticError(
            f"launch.{setting} is {fitting[-1]}, but this machine has {found} {kind}: "
            f"--set launch.{setting}={max(found, 1)}, or launch with Ray or Slurm on several machines"
        )
    return next(count for count in fitting if count <= found)


def _end(torchrun: subprocess.Popen[bytes]) -> None:
    """End torchrun and its processes, if they still run: it kills those that do not end in time."""
    if torchrun.poll() is None:
        torchrun.terminate()
        torchrun.wait()
