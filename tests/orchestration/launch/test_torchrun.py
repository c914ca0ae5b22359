"""A stage under torchrun ends as it does on Ray; processes that stall, die or are stopped."""

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from core.errors import AnimaticError
from orchestration.launch import LauncherName, prepare_launch, torchrun, watch
from orchestration.registry import Ledger
from orchestration.workflows.train import train
from orchestration.workflows.train_request import TrainOptions, prepare_training
from orchestration.workspace import Workspace
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.small_stages import small_sets
from training.config import resolve
from training.control import StoppedBySignal
from training.journal import read_journal
from training.processes.status_folder import StatusFolder
from training.result import Refused

SETS = [*small_sets(0), "launch.workers=2", "tracking.wandb=disabled"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working folder with a dataset, and with another package of the name of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("raise ImportError('not this one')")
    build_dataset(tmp_path / "data", [12] * 8)
    return tmp_path


@pytest.fixture
def ray_here():
    """The Ray of a test."""
    import ray

    yield
    ray.shutdown()


def command(*options: object, sets: list[str]) -> list[object]:
    flags = [flag for text in [*SETS, *sets] for flag in ("--set", text)]
    return [
        "train",
        "--stage",
        0,
        "--preset",
        "tiny",
        "--data",
        "data",
        "--gpus",
        0,
        *flags,
        "--json",
        *options,
    ]


@pytest.mark.slow
def test_torchrun_and_ray_train_the_same_bundle_though_a_process_is_killed(here, ray_here, monkeypatch):
    sets = ["train.steps=6", "train.checkpoint_every=1"]
    killed: list[int] = []
    progressed = train_and_kill(killed, monkeypatch)
    result = run(*command("--out", "torchrun", "--launcher", "torchrun", sets=sets))
    assert result.exit_code == 0, result.output
    assert killed and progressed
    printed = json.loads(result.stdout)
    assert [entry.event for entry in read_journal(here / "torchrun" / "journal.jsonl")].count("resume") == 1
    assert Ledger(here / "runs").newest(0, "tiny").bundle_id == printed["result"]["bundle_id"]

    on_ray = run(*command("--out", "ray", sets=sets))
    assert on_ray.exit_code == 0, on_ray.output
    weights = [(here / name / "bundle" / "model.safetensors").read_bytes() for name in ("ray", "torchrun")]
    assert weights[0] == weights[1]
    assert json.loads(on_ray.stdout)["result"]["bundle_id"] == printed["result"]["bundle_id"]


def train_and_kill(killed: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill a process when a checkpoint is in the journal; the steps of progress, which are filled in."""
    from orchestration.monitoring.progress import TrainingDisplay

    steps: list[int] = []
    real = TrainingDisplay.__call__

    def display(self: TrainingDisplay, progress: object) -> None:
        steps.append(progress.step)
        if progress.step >= 2 and not killed:
            killed.append(workers()[1].pid)
            os.kill(killed[0], signal.SIGKILL)
        real(self, progress)

    monkeypatch.setattr(TrainingDisplay, "__call__", display)
    return steps


def workers() -> list[psutil.Process]:
    below = psutil.Process().children(recursive=True)
    return [each for each in below if each.cmdline()[1:4] == ["-u", "-m", "training"]]


@pytest.mark.slow
def test_a_process_that_stands_still_is_named_and_sigterm_ends_the_run_with_a_checkpoint(here, monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE_S", 4.0)
    monkeypatch.setattr(torchrun, "WATCH_S", 0.2)
    sets = (*SETS, "train.steps=100000", "train.checkpoint_every=100000")
    options = TrainOptions(stage=0, preset="tiny", sets=sets, data="data", gpus=0, run_dir=here / "run")
    halted: list[psutil.Process] = []
    named: list[str] = []

    def on_progress(progress: object) -> None:
        if progress.step >= 2 and not halted:
            halted.append(workers()[0])
            halted[0].suspend()

    def on_warning(message: str) -> None:
        if halted and f"pid {halted[0].pid}" in message and not named:
            named.append(message)
            halted[0].resume()
            os.kill(os.getpid(), signal.SIGTERM)

    workspace = Workspace.current()
    with pytest.raises(StoppedBySignal) as stopped:
        train(
            prepare_training(options, workspace),
            workspace,
            on_progress,
            on_warning,
            None,
            LauncherName.TORCHRUN,
        )

    assert re.match(r"(no sign of life from )?worker [01] \(.+, pid \d+\)", named[0])
    step = stopped.value.step
    assert stopped.value.code == 143 and step >= 2
    assert [path.name for path in (here / "run" / "checkpoints").iterdir()] == [f"step-{step:08d}"]
    assert not workers()


@pytest.mark.slow
def test_an_error_of_the_user_that_processes_find_ends_the_run_without_a_restart(here):
    sets = ["train.trainable=['unet.no_such_*']"]
    result = run(*command("--out", "run", "--launcher", "torchrun", sets=sets))
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: train.trainable: 'unet.no_such_*'")
    assert len(list((here / "run" / ".writers").glob("1.*"))) == 2  # the launch, and one start


def test_more_processes_than_cores_are_refused_before_anything_starts(here):
    result = run(*command("--launcher", "torchrun", sets=["launch.workers=4096", "train.global_batch=4096"]))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: launch.workers is 4096, but this machine has ")


def test_a_cluster_is_refused_with_torchrun(here):
    result = run(*command("--launcher", "torchrun", "--address", "http://head:8265", sets=[]))
    assert result.exit_code == 1
    assert "--address is without effect with --launcher torchrun" in result.stderr
    options = TrainOptions(stage=0, preset="tiny", data="data", gpus=0, sets=("launch.address=auto",))
    config = prepare_training(options, Workspace.current()).config
    with pytest.raises(AnimaticError, match=r"launch\.address is without effect with torchrun"):
        prepare_launch(LauncherName.TORCHRUN, config, here / "run", 1, print)


def test_a_run_notices_that_its_launcher_is_gone(tmp_path):
    status = StatusFolder(tmp_path)
    status.write_launcher()
    assert status.has_launcher()
    pid, _, identity = (tmp_path / "launcher").read_text().partition(" ")
    (tmp_path / "launcher").write_text(f"{pid} {identity}0")  # another process of the same id
    assert not status.has_launcher()
    (tmp_path / "launcher").write_text(f"99999999 {identity}")
    assert not status.has_launcher()
    (tmp_path / "launcher").unlink()  # with its folder
    assert not status.has_launcher()


def test_the_first_outcome_counts(tmp_path):
    status = StatusFolder(tmp_path)
    assert status.outcome() is None
    for message in ("first", "second"):
        status.end(Refused(message))
    assert status.outcome() == Refused("first")


@pytest.mark.parametrize(("processors", "processes"), [(16, 8), (7, 6), (5, 4), (2, 2)])
def test_an_elastic_run_starts_on_as_many_processors_as_share_its_batch(
    here, monkeypatch, processors, processes
):
    started: list[list[str]] = []

    def start(command: list[str], **_: object) -> None:
        started.append(command)
        raise InterruptedError

    monkeypatch.setattr(torchrun.os, "cpu_count", lambda: processors)
    monkeypatch.setattr(torchrun.subprocess, "Popen", start)
    sets = ("train.global_batch=24", "launch.workers=8", "launch.min_workers=2")
    config = resolve(0, "tiny", [*small_sets(0), *sets])
    with pytest.raises(InterruptedError):
        prepare_launch(LauncherName.TORCHRUN, config, here / "run", 1, print).run()
    assert f"--nproc-per-node={processes}" in started[0]
    monkeypatch.setattr(torchrun.os, "cpu_count", lambda: 1)
    with pytest.raises(AnimaticError, match=r"launch\.min_workers is 2, but this machine has 1 CPUs"):
        prepare_launch(LauncherName.TORCHRUN, config, here / "run", 1, print)
