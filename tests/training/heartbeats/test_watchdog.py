"""A process that is stuck ends itself, whatever it is stuck in; one that is only slow goes on."""

import ctypes
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.heartbeats import heartbeat, write
from tests.support.paths import ROOT
from tests.support.training_jobs import small_config
from training.control import OTHER_WORK_S, Phase, RunControl
from training.heartbeats import End, HeartbeatFolder
from training.heartbeats.record import start_name
from training.heartbeats.session import waits_of
from training.processes.output import worker_log

PREAMBLE = """
import sys
from pathlib import Path
from training.control import Phase, RunControl
from training.heartbeats.session import heartbeats

control = RunControl(on_hang=lambda rank, message: print(f"reported {rank}: {message}", flush=True))
with heartbeats(control, Path(sys.argv[1]), hang_s=0.4):
    for step in (1, 2):
        control.enter(Phase.WAITING_FOR_DATA, step)
        control.enter(Phase.TRAINING, step)
    stuck_here = True
"""


def train_and(tmp_path: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that is in its second step, where it runs ``code``."""
    (tmp_path / "logs").mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return subprocess.run(
        [sys.executable, "-c", f"{PREAMBLE}    {code}", str(tmp_path)],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_process_that_waits_forever_reports_and_ends_with_the_code_to_try_again(tmp_path):
    done = train_and(tmp_path, "import threading; threading.Event().wait()")
    assert done.returncode == os.EX_TEMPFAIL
    place = r"in wait \(threading.py:\d+\), from <module> \(<string>:\d+\)"
    message = rf"hang in step 2: worker 0 \(.+, pid \d+\): training \(step 2\) for \d+ s {place}"
    assert re.search(f"reported 0: {message}", done.stdout)
    folder = HeartbeatFolder(tmp_path)
    (last,) = folder.read_all()
    assert last.heartbeat.end is End.HUNG and re.fullmatch(message, folder.hang().message)
    assert "in wait\n" in worker_log(tmp_path, 0).read_text()


def test_a_process_whose_lock_of_python_is_kept_by_a_library_ends_too(tmp_path):
    assert hasattr(ctypes.PyDLL(None), "sleep")  # unlike CDLL, its calls keep the lock
    # Some time before, so that the watchdog has seen the step.
    done = train_and(tmp_path, "import ctypes, time; time.sleep(0.5); ctypes.PyDLL(None).sleep(1000)")
    assert done.returncode == 1
    (last,) = HeartbeatFolder(tmp_path).read_all()
    assert [frame.function for frame in last.frames] == ["<module>"]
    assert last.stacks == str(HeartbeatFolder(tmp_path).frozen(0))


def test_a_process_goes_on_while_the_first_one_is_not_stuck(tmp_path):
    others = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    name = start_name(None, others)
    first = replace(heartbeat(0, allowed_s=600), start=name, began=time.time())
    write(tmp_path, first, ago_s=-600)  # as if it were written again and again
    code = "import threading; threading.Event().wait(1.2); print('went on')"
    done = train_and(tmp_path, code, **others)
    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.mark.parametrize("phase", [Phase.LOADING_WEIGHTS, Phase.SAVING_CHECKPOINT, Phase.DRAWING_SAMPLES])
def test_work_that_is_no_step_may_take_long(phase):
    control = RunControl()
    control.enter(phase)
    assert control.allowed_s(60, {}) == OTHER_WORK_S
    assert control.allowed_s(7200, {}) == 7200


def test_an_upload_has_limits_of_its_own():
    control = RunControl()
    control.enter(Phase.UPLOADING, 9)
    assert control.allowed_s(60, {}) is None


def test_a_step_may_take_several_times_the_longest_and_waiting_for_data_longer(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("training.control.time.monotonic", lambda: now[0])
    control = RunControl()
    control.enter(Phase.TRAINING, 1)
    assert control.allowed_s(60, {}) == OTHER_WORK_S  # it may compile
    now[0] = 100.0
    control.enter(Phase.WAITING_FOR_DATA, 2)
    waits = {Phase.WAITING_FOR_DATA: 600.0}
    assert control.allowed_s(60, {}) == 60 and control.allowed_s(60, waits) == 660
    control.enter(Phase.TRAINING, 2)
    assert control.allowed_s(60, waits) == 300


def test_a_store_is_asked_again_for_as_long_as_the_run_is_configured_to():
    config = small_config(0, "upload.patience_s=7200", "data.cache.patience_s=900")
    assert waits_of(config)[Phase.STARTING] == 900  # nothing is uploaded
    waits = waits_of(small_config(0, "upload.url=memory://run", "upload.patience_s=7200"))
    control = RunControl()
    assert control.allowed_s(60, waits) == OTHER_WORK_S + 7200
    control.enter(Phase.READING_CHECKPOINT)
    assert control.allowed_s(60, waits) == OTHER_WORK_S + 7200
    control.enter(Phase.SAVING_CHECKPOINT)
    assert control.allowed_s(60, waits) == OTHER_WORK_S


def test_a_part_of_a_phase_is_progress():
    control = RunControl()
    control.enter(Phase.TRAINING, 2)
    before = control.activity
    control.progress("backward")
    assert control.activity is not before and str(control.activity) == "training, backward (step 2)"
