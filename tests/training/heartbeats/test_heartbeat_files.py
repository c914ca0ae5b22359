"""Heartbeats as files of a run folder."""

import os
import threading
import time

import pytest

from core.fencing import register_launch, take_token
from tests.support.heartbeats import SLEEPING, heartbeat, write, write_stacks
from tests.support.paths import ROOT
from training.control import Phase, RunControl
from training.heartbeats import End, Frame, Hang
from training.heartbeats.record import start_name
from training.heartbeats.session import heartbeats
from training.heartbeats.stacks import place_of
from training.run_folder import RunFolder


def test_only_the_processes_that_were_started_last_count(tmp_path):
    write(tmp_path, heartbeat(0, start="1"))
    write(tmp_path, heartbeat(1, start="1"))
    folder = write(tmp_path, heartbeat(1, start="2"))
    assert [(each.rank, each.heartbeat.start) for each in folder.read_all()] == [(1, "2")]


def test_ages_are_those_of_the_file_system_and_damaged_records_are_left_out(tmp_path):
    folder = write(tmp_path, heartbeat(0, seconds=5), ago_s=100)
    folder.record(1).write_text("{")
    (found,) = folder.read_all()
    assert found.ago_s == pytest.approx(100, abs=5)
    assert found.seen.unchanged_s == pytest.approx(105, abs=5)


def test_frames_are_those_of_the_thread_that_trains_and_of_the_present_activity(tmp_path):
    folder = write(tmp_path, heartbeat(0, seconds=60))
    library = '  File "/opt/x/site-packages/torch/nn/functional.py", line 12 in conv2d'
    write_stacks(folder, 0, library, f'  File "{ROOT}/training/loop.py", line 34 in train')
    (stuck,) = folder.read_all()
    outer = Frame("training/loop.py", 34, "train")
    assert stuck.frames == (Frame("torch/nn/functional.py", 12, "conv2d", is_library=True), outer)
    assert place_of(stuck.frames) == (
        "in conv2d (torch/nn/functional.py:12), from train (training/loop.py:34)"
    )
    assert stuck.stacks == str(folder.stacks(0))
    earlier = time.time() - 90
    os.utime(folder.stacks(0), (earlier, earlier))
    (progressed,) = folder.read_all()
    assert progressed.frames == () and progressed.stacks is None


def test_the_first_of_several_processes_records_a_hang_of_a_start(tmp_path):
    folder = write(tmp_path, heartbeat(0))
    first, second = (Hang("1", 5.0, 8, (1,), message) for message in ("first", "second"))
    assert folder.write_hang(first) and not folder.write_hang(second)
    assert folder.hang() == first
    later = Hang("2", 6.0, 9, (0,), "later")
    assert folder.write_hang(later) and folder.hang() == later
    folder.forget_hang()
    assert folder.hang() is None


def test_what_a_larger_run_has_left_is_deleted(tmp_path):
    for rank in range(3):
        folder = write(tmp_path, heartbeat(rank))
        write_stacks(folder, rank)
    folder.forget_from(1)
    assert sorted(path.name for path in folder.path.iterdir()) == ["rank-0.json", "rank-0.stacks"]


def test_processes_have_a_name_in_common_if_they_were_started_together():
    ray = {"RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "4000"}
    assert start_name(3, ray) == start_name(3, {**ray, "RANK": "0"})
    others = [{**ray, "MASTER_PORT": "1"}, *({**ray, name: "1"} for name in RESTARTS)]
    assert len({start_name(3, each) for each in [ray, *others]} | {start_name(4, ray)}) == 5
    assert start_name(None, {}) != start_name(None, {})


RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


@pytest.fixture
def alone(monkeypatch):
    """No launcher's variables."""
    for name in ("RANK", "WORLD_SIZE", *RESTARTS):
        monkeypatch.delenv(name, raising=False)


def until(condition):
    """Wait until a thread has done what the test is about; the limit only ends a test that fails."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        threading.Event().wait(0.01)


def test_a_process_writes_what_it_does_and_how_it_ended(tmp_path, alone):
    control = RunControl()
    with pytest.raises(KeyError), heartbeats(control, tmp_path, 1800) as beating:
        (first,) = beating.folder.read_all()
        assert first.heartbeat.beat.phase is Phase.STARTING and first.heartbeat.end is None
        control.enter(Phase.SAVING_CHECKPOINT, 7)  # written at once, without a wait for the next beat
        until(lambda: beating.folder.read_all()[0].heartbeat.beat.step == 7)
        raise KeyError("luck")
    (last,) = beating.folder.read_all()
    assert last.heartbeat.end is End.FAILED and last.heartbeat.message == "KeyError: 'luck'"


def test_stacks_are_written_on_request_by_a_process_whose_thread_is_stuck(tmp_path, alone):
    with heartbeats(RunControl(), tmp_path, 0.4) as beating:  # several beats a second
        beating.folder.ask_for_stacks()
        until(lambda: beating.folder.read_all()[0].frames)  # this thread trains, and waits here
        frames = beating.folder.read_all()[0].frames
    assert "test_stacks_are_written_on_request_by_a_process_whose_thread_is_stuck" in {
        frame.function for frame in frames
    }
    assert SLEEPING not in frames


def test_nothing_is_written_once_a_later_run_has_taken_over(tmp_path, alone):
    writers = RunFolder(tmp_path).writers
    token = take_token(writers, register_launch(writers, "first"), "first")
    with heartbeats(RunControl(), tmp_path, 1800) as beating:
        beating.hold(token)
        take_token(writers, register_launch(writers, "second"), "second")
        before = beating.folder.record(0).read_bytes()
    assert beating.folder.record(0).read_bytes() == before


def test_a_file_system_that_fails_for_a_while_does_not_end_the_heartbeats(tmp_path, alone, monkeypatch):
    writers = RunFolder(tmp_path).writers
    token = take_token(writers, register_launch(writers, "first"), "first")
    asked = threading.Event()

    def fails(self):
        asked.set()
        raise OSError("stale file handle")

    with heartbeats(RunControl(), tmp_path, 0.4) as beating:
        beating.hold(token)
        with monkeypatch.context() as patch:
            patch.setattr(type(token), "holds", fails)
            beating.folder.ask_for_stacks()
            assert asked.wait(60)
            asked.clear()
            assert asked.wait(60)
            asked.clear()
            assert asked.wait(60)  # also when the stacks are due, the thread goes on
        until(lambda: beating.folder.read_all()[0].frames)


def test_a_folder_that_cannot_be_written_to_does_not_end_a_run(tmp_path, alone, caplog):
    (tmp_path / "heartbeats").write_text("a file")
    with heartbeats(RunControl(), tmp_path, 1800):
        pass
    assert "no heartbeat can be written" in caplog.text
