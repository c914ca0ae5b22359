"""A worker that hangs is named by the command, and the run goes on as if nothing had happened."""

import json
import os
import signal

import psutil
import pytest

from orchestration.launch import LauncherName, frozen
from orchestration.workflows.train import train
from orchestration.workflows.train_request import TrainOptions, prepare_training
from orchestration.workspace import Workspace
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.paths import ROOT
from tests.support.small_stages import small_sets
from training.journal import read_journal

SETS = (
    *small_sets(0),
    "launch.workers=2",
    "train.steps=5",
    "train.checkpoint_every=1",
    "tracking.wandb=disabled",
    "data.cache.patience_s=0",
    "launch.hang_s=6",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    build_dataset(tmp_path / "data", [12] * 8)
    yield tmp_path
    import ray

    ray.shutdown()


def command(*options: object) -> list[object]:
    sets = [flag for text in SETS for flag in ("--set", text)]
    stage = ["--stage", 0, "--preset", "tiny", "--data", "data", "--gpus", 0]
    return ["train", *stage, *sets, "--json", *options]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", LauncherName)
def test_a_hung_worker_is_restarted_and_the_bundle_is_that_of_an_undisturbed_run(here, monkeypatch, launcher):
    with monkeypatch.context() as hanging:
        paths = [
            str(ROOT / "tests" / "support" / "hang_once"),
            *os.environ.get("PYTHONPATH", "").split(os.pathsep),
        ]
        hanging.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        hanging.setenv("HANG_ONCE", str(here / "happened"))
        result = run(*command("--out", "hung", "--launcher", launcher.value))
    undisturbed = run(*command("--out", "undisturbed", "--launcher", LauncherName.TORCHRUN.value))

    assert result.exit_code == 0, result.output
    assert (here / "happened").exists()
    assert "hang in step 3: worker 1 (" in result.stderr and "hang_here" in result.stderr
    events = [entry.event for entry in read_journal(here / "hung" / "journal.jsonl")]
    assert (events.count("hang"), events.count("resume")) == (1, 1)
    bundles = [json.loads(each.stdout)["result"]["bundle_id"] for each in (result, undisturbed)]
    assert bundles[0] == bundles[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_whose_only_process_is_suspended_is_started_again(here, monkeypatch):
    monkeypatch.setattr(frozen, "FROZEN_S", 2.0)
    sets = (*SETS, "launch.workers=1", "train.steps=60", "train.checkpoint_every=100")
    options = TrainOptions(stage=0, preset="tiny", sets=sets, data="data", gpus=0, run_dir=here / "run")
    suspended: list[psutil.Process] = []
    warnings: list[str] = []

    def suspend(progress: object) -> None:
        if progress.step >= 3 and not suspended:
            below = psutil.Process().children(recursive=True)
            suspended.extend(each for each in below if each.cmdline()[1:4] == ["-u", "-m", "training"])
            suspended[0].send_signal(signal.SIGSTOP)

    workspace = Workspace.current()
    request = prepare_training(options, workspace)
    train(request, workspace, suspend, warnings.append, None, LauncherName.TORCHRUN)

    assert any(
        line.startswith("no sign of life from worker 0 (") and line.endswith("torchrun restarts them")
        for line in warnings
    )
    assert [entry.event for entry in read_journal(here / "run" / "journal.jsonl")].count("start") == 2
