"""One process of a run: ``python -m training CONFIG.yaml --run-dir RUN``, started by any launcher.

torchrun, ``deepspeed``, Slurm's ``srun`` and ``mpirun`` start it once for each GPU; without them it is alone.
``animatic train`` prints the configuration (``--print-config``) and is the launcher of most runs.

Exit codes: 0 the run is finished, 1 ``error: …``, 2 usage, 128 + signal where a signal stopped it with a
checkpoint, 75 where that signal was a scheduler's warning (SIGUSR1, SIGUSR2), or the run hung: to be started
again. Each process logs to ``logs/rank-N.log`` in the run folder, and the first one to stderr too, where each
error is printed once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from core.disk_errors import explained, usable_folder
from core.errors import AnimaticError
from core.repeating import Repeating
from training.control import RunControl, StoppedBySignal
from training.processes.errors import ReportedError, lost_peer
from training.processes.launch_environment import adopt_launcher, check_port
from training.processes.output import log_to_file, redirect_output, share_cores, worker_log
from training.result import Finished, Refused, Stopped, TrainResult

logger = logging.getLogger(__name__)

_LOOK_S = 2.0


@dataclass(frozen=True)
class Arguments:
    """Of the command line. The last three come from ``animatic train --launcher torchrun``."""

    config: Path
    run: Path
    status: Path | None
    launch: int | None
    dry_run: bool


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Train, as one of the processes of a run, and end the process."""
    code = _main(sys.argv[1:] if arguments is None else arguments)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of gloo sometimes abort the process while the interpreter ends, after all work is done.
    os._exit(code)


def _main(arguments: Sequence[str]) -> int:
    try:
        adopt_launcher(os.environ)
        check_port(os.environ)
        parsed = _parse(arguments)
        with explained():
            usable_folder(parsed.run)
    except AnimaticError as error:
        return _fail_alike(error)
    except SystemExit as usage:
        return int(usage.code or 0)
    log = worker_log(parsed.run, _rank())
    if parsed.status is None:
        log_to_file(log, to_terminal=_rank() == 0)
        return _train_reporting(parsed)
    redirect_output(log)
    return _train_for_launcher(parsed, parsed.status)


def _train_reporting(parsed: Arguments) -> int:
    """Train, and report the end on the terminal; the exit code."""
    from torch import distributed

    try:
        result = _train(parsed, RunControl())
    except StoppedBySignal as stop:
        if _rank() == 0:
            print(stop, file=sys.stderr)
        return stop.exit_code
    except ReportedError:
        return 1
    except AnimaticError as error:
        if not distributed.is_initialized():
            return _fail_alike(error)
        _print_error(error)
        return 1
    except Exception as error:
        if not lost_peer(error):
            raise
        logger.error("another process of the run ended: %s", error)
        return 1
    if _rank() == 0 and isinstance(result, TrainResult):
        print(f"bundle {result.bundle_id}  {result.bundle_path}")
    return 0


def _train_for_launcher(parsed: Arguments, folder: Path) -> int:
    """Train, and report the end in the status folder; exit code 0 keeps torchrun from a restart."""
    from training.processes.signs_of_life import Failure
    from training.processes.status_folder import StatusFolder

    status, rank = StatusFolder(folder), _rank()
    restart = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    control = RunControl(on_hang=lambda named, message: status.fail(Failure(named, message), restart))
    if isinstance(status.outcome(), Refused):
        return 0

    def look_for_launcher() -> None:
        if not status.has_launcher():
            control.request_stop(signal.SIGTERM)

    with _repeated(look_for_launcher):
        try:
            result = _train(parsed, control)
        except StoppedBySignal as stop:
            status.end(Stopped(stop.signal, stop.step))
            return 0
        except ReportedError as error:
            logger.error("%s", error)
            return 0
        except AnimaticError as error:
            logger.error("%s", error)
            status.end(Refused(str(error)))
            return 0
        except Exception as error:
            logger.exception("training failed")
            failure = Failure(rank, f"{type(error).__name__}: {error}", lost_peer(error))
            status.fail(failure, restart)
            return 1
        if rank == 0:
            status.end(result)
        return 0


@contextlib.contextmanager
def _repeated(act: Callable[[], None]) -> Iterator[None]:
    act()
    repeating = Repeating(act, _LOOK_S, "watch of the launcher")
    repeating.start()
    try:
        yield
    finally:
        repeating.stop()


def _train(parsed: Arguments, control: RunControl) -> Finished:
    from training.config import load
    from training.dry_run import dry_run
    from training.heartbeats.flight_recorder import set_up_flight_recorder
    from training.loop import train

    config = load(parsed.config)
    share_cores()
    set_up_flight_recorder(parsed.run.resolve(), os.environ)
    act: Callable[..., Finished] = dry_run if parsed.dry_run else train
    return act(config, parsed.run.resolve(), control=control, launch=parsed.launch)


class _Parser(argparse.ArgumentParser):
    """Prints wrong usage once, not in every process."""

    def error(self, message: str) -> NoReturn:
        if _rank() == 0:
            super().error(message)
        raise SystemExit(2)


def _parse(arguments: Sequence[str]) -> Arguments:
    parser = _Parser(prog="python -m training", description="One process of a training run.")
    parser.add_argument("config", type=Path, help="YAML file as `animatic train --print-config` prints it")
    # torchrun mistakes --run for the beginning of options of its own.
    parser.add_argument(
        "--run-dir",
        "--run",
        dest="run",
        type=Path,
        required=True,
        help="run folder, which all processes share",
    )
    # deepspeed passes it besides the variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--status", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--launch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    return Arguments(parsed.config, parsed.run, parsed.status, parsed.launch, parsed.dry_run)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _fail_alike(error: AnimaticError) -> int:
    """The exit code for an error that all processes of a machine find; it is printed by one of them."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        _print_error(error)
    return 1


def _print_error(error: AnimaticError) -> None:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
