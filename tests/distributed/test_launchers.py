"""``python -m training`` under the launchers that exist besides Ray: two processes train the same bundle."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import open_bundle
from tests.support.coded_clips import build_dataset
from tests.support.free_port import free_port
from tests.support.paths import ROOT
from tests.support.small_stages import small_sets
from tests.support.training_jobs import write_config
from tests.support.waiting import wait_until
from training.config import resolve
from training.journal import read_journal

STEPS = ["train.steps=3", "train.checkpoint_every=2"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RANK", "WORLD"))},
    "PYTHONPATH": str(ROOT),
    "DS_ACCELERATOR": "cpu",
    "OMP_NUM_THREADS": "1",
}
TORCHRUN = [*(sys.executable, "-m", "torch.distributed.run", "--standalone"), "--local-addr=127.0.0.1"]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """A run of three steps, as a file for all launchers."""
    folder = tmp_path_factory.mktemp("launchers")
    build_dataset(folder / "data", [12] * 8)
    sets = [*small_sets(0), *STEPS, f"data.dataset={folder / 'data'}"]
    return Path(write_config(resolve(0, "tiny", sets), folder / "config.yaml"))


def start(command, log, **environment) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            env={**ENVIRONMENT, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_for_a_step(run_dir, process, log) -> None:
    """Until the journal of a run has figures."""
    journal = run_dir / "journal.jsonl"
    wait_until(
        lambda: any(entry.event == "metrics" for entry in read_journal(journal)),
        300,
        lambda: None if process.poll() is None else log.read_text(),
        every_s=0.01,
    )


def torchrun(config, run_dir) -> list[object]:
    return [*TORCHRUN, "--nproc-per-node=2", "-m", "training", config, "--run-dir", run_dir]


def slurm(rank, port) -> dict[str, str]:
    """What srun sets for a task of two on this machine."""
    return {
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory) -> Path:
    """The run folder of torchrun, and its log beside it."""
    folder = tmp_path_factory.mktemp("torchrun")
    assert start(torchrun(config, folder / "run"), folder / "log").wait() == 0, (folder / "log").read_text()
    return folder


@pytest.mark.slow
def test_torchrun_trains_and_a_finished_run_returns_at_once(trained, config):
    bundle = open_bundle(trained / "run" / "bundle", verify=True)
    assert f"bundle {bundle.id}  " in (trained / "log").read_text()
    for rank in (0, 1):
        assert "step 3 of 3, loss " in (trained / "run" / "logs" / f"rank-{rank}.log").read_text()
    before = (trained / "run" / "journal.jsonl").read_bytes()
    assert start(torchrun(config, trained / "run"), trained / "again").wait() == 0
    assert (trained / "run" / "journal.jsonl").read_bytes() == before


@pytest.mark.slow
def test_deepspeed_with_a_hostfile_trains_the_same_bundle(trained, config, tmp_path):
    (tmp_path / "hosts").write_text("localhost slots=2\n")
    deepspeed = [
        Path(sys.executable).with_name("deepspeed"),
        "--no_ssh_check",
        "--master_addr=127.0.0.1",  # which deepspeed would ask for by ssh, where a client is installed
        "--hostfile",
        tmp_path / "hosts",
    ]
    command = [*deepspeed, "--module", "training", config, "--run-dir", tmp_path / "run"]
    process = start(command, tmp_path / "log", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert process.wait() == 0, (tmp_path / "log").read_text()
    assert open_bundle(tmp_path / "run" / "bundle").id == open_bundle(trained / "run" / "bundle").id


@pytest.mark.slow
def test_tasks_of_srun_train_the_same_bundle_and_sigterm_ends_them_with_a_checkpoint(
    trained, config, tmp_path
):
    run_dir, command = tmp_path / "run", [sys.executable, "-m", "training", config, "--run", tmp_path / "run"]

    def tasks() -> list[subprocess.Popen[bytes]]:
        port = free_port()
        return [start(command, tmp_path / f"log-{rank}", **slurm(rank, port)) for rank in (0, 1)]

    first = tasks()
    wait_for_a_step(run_dir, first[0], tmp_path / "log-0")
    first[1].send_signal(signal.SIGTERM)
    codes = [process.wait() for process in first]
    if codes != [0, 0]:  # where the signal came before the last step
        assert codes == [143, 143]
        printed = (tmp_path / "log-0").read_text()
        assert re.search(r"stopped by SIGTERM: the checkpoint of step \d is written", printed)
        assert "stopped by SIGTERM: the" not in (tmp_path / "log-1").read_text()
        assert [process.wait() for process in tasks()] == [0, 0]
    assert open_bundle(run_dir / "bundle").id == open_bundle(trained / "run" / "bundle").id


@pytest.mark.slow
def test_an_error_of_the_user_is_printed_by_one_process(config, tmp_path):
    (tmp_path / "run").mkdir()
    bad = tmp_path / "bad.yaml"
    bad.write_text(config.read_text().replace("global_batch: 4", "global_batch: 5"))
    for number, (file, message) in enumerate(
        [
            (bad, "error: train.global_batch 5 cannot be shared by 2 workers"),
            (tmp_path / "missing.yaml", "error: "),
        ]
    ):
        log = tmp_path / f"log-{number}"
        assert start(torchrun(file, tmp_path / "run"), log).wait() == 1
        lines = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and lines[0].startswith(message)


@pytest.mark.slow
def test_sigterm_to_torchrun_ends_the_run_with_a_checkpoint(config, tmp_path):
    long, run_dir = tmp_path / "long.yaml", tmp_path / "run"
    long.write_text(config.read_text().replace("steps: 3\n", "steps: 100000\n"))
    process = start([*torchrun(long, run_dir)], tmp_path / "log")
    wait_for_a_step(run_dir, process, tmp_path / "log")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1  # torchrun's own, with a traceback
    printed = (tmp_path / "log").read_text()
    match = re.search(r"stopped by SIGTERM: the checkpoint of step (\d+) is written", printed)
    assert match is not None, printed
    stopped = read_journal(run_dir / "journal.jsonl")[-1]
    assert (stopped.event, stopped.step) == ("stop", int(match[1]))
    assert (run_dir / "checkpoints" / f"step-{int(match[1]):08d}" / "manifest.json").is_file()
