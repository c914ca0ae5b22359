"""A process that hangs is named, and its run goes on from the newest checkpoint."""

import time
from os import EX_TEMPFAIL

import pytest

from orchestration.workflows.doctor.run import examine_run
from tests.support.hanging_jobs import HANGING_RANK, HANGING_STEP, run_hanging
from tests.support.process_group import WorkerError, Workers
from tests.support.training_jobs import run_stage, small_config, write_config
from training.heartbeats import HeartbeatFolder, State
from training.journal import read_journal

SETS = ("train.steps=4", "train.checkpoint_every=1", "data.cache.patience_s=0")
# Innermost frames of a process that hangs there.
PLACES = {"objective": "hang_forever", "data": "hang_forever", "collective": "together"}
PHASES = {"objective": "training, forward", "data": "waiting for data", "collective": "training, forward"}


@pytest.fixture
def workers(tmp_path):
    """Two processes that a test may lose."""
    with Workers(2, tmp_path / "workers") as found:
        yield found


def until(condition):
    """Wait until other processes have come so far; the limit only ends a test that fails."""
    deadline = time.monotonic() + 120
    while not (result := condition()):
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.1)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
def test_a_hung_process_is_named_with_its_place_while_the_run_hangs(workers, tmp_path, where):
    config, run_dir = small_config(0, *SETS, "launch.hang_s=null"), tmp_path / "run"
    workers.start(run_hanging, write_config(config, tmp_path / "config.yaml"), str(run_dir), where)
    until(lambda: is_at_step(run_dir))

    report = until(lambda: named(run_dir))

    assert report.culprits == [HANGING_RANK]
    culprit = report.processes[HANGING_RANK]
    assert (culprit.state, culprit.pid) == (State.STUCK, workers.pids[HANGING_RANK])
    assert culprit.doing == f"{PHASES[where]} (step {HANGING_STEP})"
    assert any(frame.startswith(PLACES[where]) for frame in culprit.frames)
    assert report.cause.startswith(f"worker {HANGING_RANK} (") and "the others wait: training" in report.cause


def is_at_step(run_dir):
    found = HeartbeatFolder(run_dir).read_all()
    return len(found) == 2 and all(each.heartbeat.beat.step == HANGING_STEP for each in found)


def named(run_dir):
    report = examine_run(run_dir, long_s=2.0)
    return report if report.cause is not None else None


@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
def test_a_hang_ends_the_processes_and_the_run_goes_on_as_if_undisturbed(workers, pair, tmp_path, where):
    config, run_dir = small_config(0, *SETS, "launch.hang_s=4"), tmp_path / "run"
    path = write_config(config, tmp_path / "config.yaml")
    undisturbed, _ = pair.run(run_stage, path, str(tmp_path / "undisturbed"))

    with pytest.raises(WorkerError):
        workers.run(run_hanging, path, str(run_dir), where)
    # Without it, the other one may find its connection broken, before it would end itself.
    until(lambda: EX_TEMPFAIL in workers.exit_codes())
    report = examine_run(run_dir)
    resumed, _ = pair.run(run_stage, path, str(run_dir))

    assert not report.ok
    assert report.culprits == [HANGING_RANK] and report.cause.startswith(
        f"hang in step {HANGING_STEP}: worker"
    )
    assert resumed["resumed_from"] == HANGING_STEP - 1 and resumed["id"] == undisturbed["id"]
    assert resumed["losses"] == {step: undisturbed["losses"][step] for step in resumed["losses"]}
    (hang,) = [entry for entry in read_journal(run_dir / "journal.jsonl") if entry.event == "hang"]
    assert hang.content["ranks"] == [HANGING_RANK] and hang.content["message"] == report.cause
    after = examine_run(run_dir)
    assert after.ok and after.hangs == [report.cause]
