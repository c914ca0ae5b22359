"""After a restart by torchrun, processes find each other, and not those before it."""

import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from tests.support.paths import ROOT
from training.processes import elastic_store
from training.processes.elastic_store import use_own_store

# At the restart the first process comes last: what the other one reads before is of the first start.
PROCESS = """
import os, sys, time
import torch.distributed as dist
from training.processes.elastic_store import use_own_store
restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
if restarts and os.environ["RANK"] == "0":
    time.sleep(2)
store = use_own_store(os.environ)
dist.init_process_group("gloo")
dist.barrier()
os._exit(0 if restarts else 1)
"""


def environment(agent: TCPStore, rank: int) -> dict[str, str]:
    return {
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(agent.port),
        "RANK": str(rank),
    }


@pytest.fixture
def agent() -> TCPStore:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def test_each_start_has_a_store_of_its_own(agent: TCPStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_store, "_CONNECT", timedelta(seconds=0.5))
    first, second = environment(agent, 0), environment(agent, 1)
    before = use_own_store(first)
    use_own_store(second)
    assert first["MASTER_PORT"] == second["MASTER_PORT"] != str(agent.port)

    del before  # the process ends, and its store
    late = environment(agent, 1)
    waiting = threading.Thread(target=use_own_store, args=(late,), daemon=True)
    waiting.start()
    again = environment(agent, 0)
    own = use_own_store(again)
    waiting.join(60)
    assert own is not None
    assert late["MASTER_PORT"] == again["MASTER_PORT"] == str(own.port) != first["MASTER_PORT"]


def test_without_a_store_of_torchrun_nothing_changes() -> None:
    for variables in ({}, {"TORCHELASTIC_USE_AGENT_STORE": "False"}):
        changed = dict(variables)
        assert use_own_store(changed) is None
        assert changed == variables


@pytest.mark.slow
def test_processes_join_after_a_restart_however_late_the_first_one_is(tmp_path) -> None:
    (tmp_path / "process.py").write_text(PROCESS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += ["--nproc-per-node=2", "--max-restarts=1", str(tmp_path / "process.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
