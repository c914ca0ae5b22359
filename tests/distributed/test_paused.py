"""A run that was paused while it was started again on another machine stops, and changes nothing there."""

import os
import signal
from pathlib import Path

import pytest

from core.host import HOST_VARIABLE
from tests.support.process_group import WorkerError, Workers
from tests.support.training_jobs import run_stage, small_config, write_config

CONFIG = small_config(
    0, "train.steps=5", "train.checkpoint_every=1", "train.keep_checkpoints=2", "validation.every=2"
)


@pytest.fixture
def machines(tmp_path):
    """Two pairs of processes that believe to be on machines of their own."""
    with (
        Workers(2, tmp_path / "first", environment={HOST_VARIABLE: "first"}) as first,
        Workers(2, tmp_path / "second", environment={HOST_VARIABLE: "second"}) as second,
    ):
        yield first, second


@pytest.mark.slow
def test_the_earlier_of_two_runs_of_a_folder_stops_without_changing_a_byte(machines, tmp_path):
    first, second = machines
    config, run_dir = write_config(CONFIG, tmp_path / "config.yaml"), tmp_path / "run"
    paused = first.start(run_stage, config, str(run_dir), {"signal_after": (0, 2, signal.SIGSTOP, 1)})
    os.waitid(os.P_PID, first.pids[0], os.WSTOPPED)

    finished, _ = second.run(run_stage, config, str(run_dir))

    assert finished["resumed_from"] == 2 and list(finished["losses"]) == [3, 4, 5]
    before = contents(run_dir)
    os.kill(first.pids[0], signal.SIGCONT)
    with pytest.raises(WorkerError, match=r"SupersededError: .*run was taken over by attempt 2\.1 \(process"):
        first.wait(paused)
    assert contents(run_dir) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
