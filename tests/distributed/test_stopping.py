"""Signals end a run with a checkpoint in all processes, and nothing is lost.

The processes send the signals themselves, at a known moment of the run.
"""

import signal

import pytest

from tests.support.training_jobs import run_stage, small_config, write_config
from training.checkpoints import find_damage
from training.journal import read_journal

LENGTH = ("train.steps=5", "train.ema_decay=0.9", "validation.count=2")
RESUMES = "the checkpoint of step {} is written; the same command resumes"


@pytest.fixture(scope="module")
def undisturbed(train_in_pair):
    return train_in_pair(small_config(0, *LENGTH))


@pytest.fixture
def stop(pair, tmp_path):
    """Train until a signal -> exit code and message of both processes, and the steps that were done."""

    def run(*sets: str, **options):
        path = write_config(small_config(0, *LENGTH, *sets), tmp_path / "config.yaml")
        first, second = pair.run(run_stage, path, str(tmp_path / "run"), options)
        assert first == second
        return first["exit_code"], first["message"], list(first["losses"])

    return run


def checkpoints(folder):
    return sorted(path.name for path in (folder / "run" / "checkpoints").glob("*"))


def last_event(folder):
    return read_journal(folder / "run" / "journal.jsonl")[-1]


@pytest.mark.parametrize(
    ("rank", "signum", "code"),
    [
        (1, signal.SIGTERM, 143),
        pytest.param(0, signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGUSR1, 75, marks=pytest.mark.slow),
        (0, signal.SIGUSR2, 75),
    ],
)
def test_a_signal_to_one_process_stops_all_after_the_step_in_progress(stop, tmp_path, rank, signum, code):
    exit_code, message, steps = stop(signal_after=(rank, 2, signum, 1))
    assert (exit_code, steps) == (code, [1, 2])
    assert message == f"stopped by {signum.name}: {RESUMES.format(3)}"
    assert checkpoints(tmp_path) == ["step-00000003"]
    stopped = last_event(tmp_path)
    assert (stopped.event, stopped.step, stopped.content["signal"]) == ("stop", 3, signum)
    assert stopped.content["warning"] is (code == 75)


def test_a_stopped_run_resumes_bit_equal(stop, undisturbed, train_in_pair, tmp_path):
    stop(signal_after=(1, 2, signal.SIGTERM, 1))
    again = train_in_pair(undisturbed.config, tmp_path / "run")
    assert again.losses == {step: undisturbed.losses[step] for step in (4, 5)}


def test_repeated_signals_stop_once_and_the_handlers_before_are_restored(stop, pair, tmp_path):
    exit_code, _, _ = stop(signal_after=(0, 2, signal.SIGTERM, 3))
    assert exit_code == 143
    assert checkpoints(tmp_path) == ["step-00000003"]
    assert pair.run(handlers) == [["SIG_DFL", "default_int_handler"]] * 2


def test_a_signal_before_the_first_step_trains_nothing(stop, tmp_path):
    exit_code, message, steps = stop(signal_in=(1, "training.parts.initialise"))
    assert (exit_code, steps) == (143, [])
    assert message == "stopped by SIGTERM: nothing was trained yet; the same command resumes"
    assert checkpoints(tmp_path) == []


def test_a_signal_while_a_checkpoint_is_written_leaves_it_whole(stop, tmp_path):
    """Beside training: the run stops one of the next steps, with a checkpoint of that one too."""
    sets = ("train.checkpoint_every=2", "train.keep_checkpoints=3")
    _, message, steps = stop(*sets, signal_in=(0, "training.parts.CheckpointStore.save"))
    last = len(steps) + 1
    assert 2 <= last < 5 and RESUMES.format(last) in message
    assert checkpoints(tmp_path) == [f"step-{step:08d}" for step in sorted({2, *range(2, last, 2), last})]
    assert all(find_damage(path) is None for path in (tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_signal_while_a_checkpoint_is_written_in_its_step_leaves_it_whole(stop, tmp_path):
    sets = ("train.checkpoint_every=2", "train.background_saves=false")
    _, message, steps = stop(*sets, signal_in=(0, "training.parts.CheckpointStore.save"))
    assert steps == [1, 2] and RESUMES.format(3) in message
    assert checkpoints(tmp_path) == ["step-00000002", "step-00000003"]


def test_a_signal_while_samples_are_drawn_leaves_the_rest_out(stop, tmp_path):
    _, message, _ = stop("validation.every=2", signal_in=(0, "training.validation.samples.animate"))
    assert RESUMES.format(3) in message
    assert [path.name for path in (tmp_path / "run" / "samples").glob("*.mp4")] == ["step-00000002-0.mp4"]


def test_a_signal_in_the_last_step_leaves_the_bundle_to_the_next_call(
    stop, undisturbed, train_in_pair, tmp_path
):
    _, message, _ = stop(signal_after=(1, 4, signal.SIGTERM, 1))
    assert RESUMES.format(5) in message
    assert not (tmp_path / "run" / "bundle").exists()
    assert train_in_pair(undisturbed.config, tmp_path / "run").losses == {}
    assert (tmp_path / "run" / "bundle").exists()


def handlers() -> list[str]:
    """Names of the handlers of SIGTERM and SIGINT in a process."""
    found = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    return [getattr(each, "name", None) or each.__name__ for each in found]
