"""What `animatic doctor RUN` reports about runs that progress, hang, have hung or have ended."""

import json
import os
import subprocess

import pytest

from core.errors import AnimaticError
from core.host import process_identity
from orchestration.workflows.doctor.run import examine_run
from tests.support.command import fails, run
from tests.support.heartbeats import heartbeat, write, write_stacks
from training import events
from training.control import Phase
from training.heartbeats import End, Hang, State
from training.journal import Journal

REDUCE = '  File "/x/site-packages/torch/distributed/distributed_c10d.py", line 2810 in all_reduce'
READ = '  File "/x/site-packages/decord/reader.py", line 88 in read'


@pytest.fixture
def hanging(tmp_path):
    """A run whose second process waits for data."""
    write(tmp_path, heartbeat(0, seconds=64))
    folder = write(tmp_path, heartbeat(1, Phase.WAITING_FOR_DATA, seconds=65))
    write_stacks(folder, 0, REDUCE)
    write_stacks(folder, 1, READ, REDUCE)
    return tmp_path


def test_a_hang_is_reported_with_the_culprit_its_place_and_what_to_do(hanging):
    report = examine_run(hanging)
    assert not report.ok and report.culprits == [1] and report.missing == []
    assert report.cause == (
        "worker 1 (node, pid 101): waiting for data (step 8) for 65 s in read (decord/reader.py:88); "
        "the others wait: training (step 8)"
    )
    assert report.advice.startswith("its data does not arrive")
    assert f"{hanging}/logs/rank-1.log" in report.advice
    assert [each.state for each in report.processes] == [State.STUCK, State.STUCK]
    assert report.processes[1].frames[0] == "read (decord/reader.py:88)"


def test_the_command_prints_it_and_its_exit_code_is_1(hanging):
    printed = run("doctor", hanging)
    assert printed.exit_code == 1
    assert (
        "worker 1 (node, pid 101): waiting for data" in printed.stdout and "its data does" in printed.stdout
    )
    as_json = run("doctor", hanging, "--json")
    assert as_json.exit_code == 1
    answer = json.loads(as_json.stdout)
    assert answer["ok"] is False and answer["culprits"] == [1] and answer["processes"][1]["pid"] == 101


def test_a_run_that_progresses_or_is_finished_is_in_order(tmp_path):
    write(tmp_path, heartbeat(0, size=1))
    assert run("doctor", tmp_path).exit_code == 0
    write(tmp_path, heartbeat(0, size=1, end=End.FINISHED), ago_s=9000)
    report = examine_run(tmp_path)
    assert report.ok and report.processes[0].state is State.FINISHED


def test_the_record_of_a_hang_remains_until_the_run_goes_on(hanging):
    folder = write(hanging, heartbeat(1, Phase.WAITING_FOR_DATA, end=End.HUNG), ago_s=9000)
    write(hanging, heartbeat(0), ago_s=9000)  # killed with the other one
    folder.write_hang(Hang("1", 5.0, 8, (1,), "hang in step 8: worker 1"))
    report = examine_run(hanging)
    assert (report.culprits, report.cause) == ([1], "hang in step 8: worker 1")
    assert "the same command resumes" in report.advice

    for rank in (0, 1):
        write(hanging, heartbeat(rank, start="2"))
    journal = Journal(hanging / "journal.jsonl")
    journal.record(7, events.HangEnded("hang in step 8: worker 1", [1], 8))
    journal.close()
    report = examine_run(hanging)
    assert report.ok and report.hangs == ["hang in step 8: worker 1"]


def test_an_error_that_ended_a_process_is_reported(tmp_path):
    write(tmp_path, heartbeat(0, size=1, end=End.FAILED, message="KeyError: 'luck'"))
    report = examine_run(tmp_path)
    assert report.cause == "worker 0 (node, pid 100) failed: KeyError: 'luck'" and not report.ok


def test_a_process_that_was_killed_on_this_machine_is_known_to_be_gone(tmp_path):
    with subprocess.Popen(["sleep", "1000"]) as process:
        identity = process_identity(process.pid)
        process.kill()
    gone = heartbeat(0, size=1, process=identity)
    write(tmp_path, gone, ago_s=100)
    report = examine_run(tmp_path)
    assert report.cause.startswith("no sign of life from worker 0") and "was killed" in report.advice


def test_a_process_whose_python_does_not_run_is_known_to_be_alive(tmp_path):
    found = heartbeat(0, size=1, process=process_identity(os.getpid()))
    object.__setattr__(found.beat, "pid", os.getpid())
    write(tmp_path, found, ago_s=100)
    assert f"process {os.getpid()} is running, but no thread" in examine_run(tmp_path).advice


def test_what_has_no_heartbeats_is_refused(tmp_path):
    with pytest.raises(AnimaticError, match="has no heartbeats"):
        examine_run(tmp_path)
    fails("nowhere is not a folder: name the folder of a run", "doctor", "nowhere")
    fails("--address is without effect with a run", "doctor", tmp_path, "--address", "auto")
