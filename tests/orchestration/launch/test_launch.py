"""A stage through the command, on a real local Ray with two workers: killed, resumed, finished, mirrored."""

import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from mlflow import MlflowClient
from ray.train import WorkerGroupError
from ray.train.torch import TorchTrainer

from core.errors import AnimaticError
from core.journal import read_records
from orchestration.demo.footage import write_csv, write_rendered
from orchestration.devices import device_count
from orchestration.launch import watch
from orchestration.launch.ray_train import RayTrainLauncher
from orchestration.monitoring import TrainingProgress
from orchestration.registry import Ledger
from orchestration.workflows.train import train
from orchestration.workflows.train_request import TrainOptions, prepare_training
from orchestration.workspace import Workspace
from tests.support.command import run
from tests.support.small_stages import small_sets
from tests.support.training_jobs import small_config
from training.control import PREEMPTED, StoppedBySignal
from training.processes.signs_of_life import BEAT_S
from training.result import Stopped, TrainResult

STEPS = 24


@pytest.fixture(scope="module")
def ray_here():
    """One local Ray for the module."""
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def ingested(tmp_path_factory, ray_here) -> Path:
    """A working folder with a dataset."""
    folder = tmp_path_factory.mktemp("ingested")
    rows = write_rendered(folder / "footage", range(8), seed=0)
    write_csv(folder / "footage" / "table.csv", rows)
    command = ["ingest", "footage/table.csv", "--videos", "footage/videos", "--preset", "tiny"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ANIMATIC_RUNS", raising=False)
        result = run(*command, "--no-track", "--json")
    assert result.exit_code == 0, result.output
    assert parsed(result)["report"]["samples"] == 8
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, ingested) -> Path:
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    return tmp_path


def parsed(result) -> dict:
    """What ``--json`` printed: one object and nothing else."""
    assert result.stdout.startswith("{"), result.stdout[:500]
    return json.loads(result.stdout)


def journal(folder: Path) -> list[dict]:
    """Its whole lines: the run may be writing another."""
    return read_records(folder / "journal.jsonl")[0]


def kill_a_worker_after_the_first_checkpoint(folder: Path, killed: list[tuple[int, list[str]]]) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if any(line["event"] == "checkpoint" for line in journal(folder)):
            below = psutil.Process().children(recursive=True)
            workers = [process for process in below if "RayTrainWorker" in " ".join(process.cmdline())]
            killed.append((workers[-1].pid, workers[-1].parent().cmdline()))
            workers[-1].send_signal(signal.SIGKILL)
            return
        time.sleep(0.02)


def test_a_killed_worker_is_replaced_and_the_finished_run_is_accepted_and_mirrored(here):
    folder = here / "runs" / "rün 中"  # Ray takes names of ASCII characters alone
    sets = [*small_sets(0), f"train.steps={STEPS}", "train.checkpoint_every=4", "launch.workers=2"]
    command = ["train", "--stage", 0, "--preset", "tiny", "--out", folder, "--json"]
    command += [flag for text in sets for flag in ("--set", text)]
    killed: list[tuple[int, list[str]]] = []
    killer = threading.Thread(target=kill_a_worker_after_the_first_checkpoint, args=(folder, killed))
    killer.start()

    result = run(*command)

    killer.join()
    assert result.exit_code == 0, result.output
    ((_, parent),) = killed
    # Without a GPU, workers are forks of a process that has imported everything.
    assert device_count() or "pipelines.cluster.forking.server" in parent
    lines = journal(folder)
    events = [line["event"] for line in lines]
    assert events.count("resume") == 1
    assert events[-1] == "end"
    environment = next(line for line in lines if line["event"] == "environment")
    assert [host["ranks"] for host in environment["hosts"]] == [[0, 1]]
    assert json.loads((folder / "environment.json").read_text())["lock"] == environment["lock"]
    printed = parsed(result)
    assert printed["result"]["steps"] == STEPS
    entry = Ledger(here / "runs").newest(0, "tiny")
    assert entry.bundle_id == printed["result"]["bundle_id"] == printed["accepted"]["bundle_id"]
    assert_mlflow_equals(lines, here / "runs" / "mlflow.db")
    assert list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert {path.name for path in (folder / "logs").glob("*.log")} == {"rank-0.log", "rank-1.log"}

    before = (folder / "journal.jsonl").read_bytes()
    again = run(*command)
    assert again.exit_code == 0
    assert parsed(again)["result"]["bundle_id"] == entry.bundle_id
    assert (folder / "journal.jsonl").read_bytes() == before

    other = run(*command, "--set", "seed=1")
    assert other.exit_code == 1
    assert "finished run of another config hash" in other.stderr


def assert_mlflow_equals(lines: list[dict], store: Path) -> None:
    """Every value of the journal is in MLflow once; of steps done twice, the first value."""
    expected: dict[tuple[str, int], float] = {}
    for line in lines:
        for key, value in line.get("metrics", {}).items():
            expected.setdefault((key, line["step"]), value)
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    (tracked,) = client.search_runs(
        [client.get_experiment_by_name("animatic / tiny / stage 0").experiment_id]
    )
    found = [
        ((key, point.step), point.value)
        for key in tracked.data.metrics
        for point in client.get_metric_history(tracked.info.run_id, key)
    ]
    assert len(found) == len(dict(found))
    assert dict(found) == expected
    assert tracked.info.status == "FINISHED"


@pytest.mark.slow
def test_a_worker_that_stands_still_is_named_and_sigterm_ends_the_run_with_a_checkpoint(here, monkeypatch):
    """The worker is halted after the first steps; once it is named, it goes on, and SIGTERM arrives here."""
    monkeypatch.setattr(watch, "PATIENCE_S", 2 * BEAT_S)
    monkeypatch.setattr(watch, "WATCH_S", 0.2)
    sets = [*small_sets(0), "train.steps=100000", "train.checkpoint_every=100000", "launch.workers=2"]
    sets += ["tracking.wandb=disabled"]
    options = TrainOptions(stage=0, preset="tiny", sets=tuple(sets), run_dir=here / "run")
    workspace = Workspace.current()
    halted: list[psutil.Process] = []
    named: list[str] = []

    def on_progress(progress: TrainingProgress) -> None:
        if progress.step >= 2 and not halted:
            below = psutil.Process().children(recursive=True)
            halted.append(next(each for each in below if "RayTrainWorker" in " ".join(each.cmdline())))
            halted[0].suspend()

    def on_warning(message: str) -> None:
        if halted and f"pid {halted[0].pid}" in message and not named:
            named.append(message)
            halted[0].resume()
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignal) as stopped:
        train(prepare_training(options, workspace), workspace, on_progress, on_warning)

    # Its last sign of life can be behind those of the other worker, which is noticed first.
    assert re.match(r"(no sign of life from )?worker [01] \(.+, pid \d+\)", named[0])
    assert re.search(r" for \d+ s", named[0])
    step = stopped.value.step
    assert stopped.value.code == 143 and step >= 2
    assert [path.name for path in (here / "run" / "checkpoints").iterdir()] == [f"step-{step:08d}"]
    last = journal(here / "run")[-1]
    assert (last["event"], last["step"], last["signal"]) == ("stop", step, signal.SIGTERM)
    for rank in (0, 1):
        log = (here / "run" / "logs" / f"rank-{rank}.log").read_text()
        assert f"of {len(os.sched_getaffinity(0))} cores, 2 workers here" in log
        assert "step 2 of 100000, loss " in log and f"saving checkpoint (step {step})" in log


def test_a_run_ends_when_it_fails_too_often_without_a_new_checkpoint(tmp_path, ray_here, monkeypatch):
    checkpoints, attempts = tmp_path / "run" / "checkpoints", []

    def fit(trainer: TorchTrainer) -> None:
        assert trainer.run_config.failure_config.max_failures == 1
        attempts.append(trainer)
        saved = [f"step-{len(attempts):08d}"] if len(attempts) < 3 else []
        for name in [
            *saved,
            f"step-{len(attempts) + 1:08d}-1.{len(attempts)}.partial",
        ]:  # which was not finished
            (checkpoints / name).mkdir(parents=True)
            (checkpoints / name / "manifest.json").touch()
        raise WorkerGroupError("failed", {0: ValueError("a bad disk")})

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    reported: list[str] = []
    config = small_config(0, "launch.workers=1", "launch.restarts=1")
    launcher = RayTrainLauncher(config, tmp_path / "run", 1, reported.append)

    with pytest.raises(
        AnimaticError, match=r"^training failed 2 times, last in worker 0: .*a bad disk; see "
    ):
        launcher.run()

    assert len(attempts) == 3
    assert [re.search("since (.*) was saved", line).group(1) for line in reported] == [
        "step-00000001",
        "step-00000002",
    ]


def test_workers_start_again_after_a_notice_of_preemption_without_counting_it(
    tmp_path, ray_here, monkeypatch
):
    checkpoints = tmp_path / "run" / "checkpoints"
    finished = TrainResult("id", tmp_path / "run" / "bundle", 8, 0.5, 4)
    outcomes = [Stopped(PREEMPTED, 4), Stopped(PREEMPTED, 6), finished]

    def fit(trainer: TorchTrainer) -> SimpleNamespace:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Stopped) and saving:
            (checkpoints / f"step-{outcome.step:08d}").mkdir(parents=True)
        return SimpleNamespace(return_value=outcome)

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    reported: list[str] = []
    config = small_config(0, "launch.workers=1", "launch.restarts=0")
    launcher = RayTrainLauncher(config, tmp_path / "run", 1, reported.append)
    saving = True
    assert launcher.run() == finished
    assert [re.search("since (.*) was saved", line).group(1) for line in reported] == [
        "step-00000004",
        "step-00000006",
    ]

    saving, outcomes = False, [Stopped(PREEMPTED, 6)]
    with pytest.raises(AnimaticError, match="stopped by a notice of preemption: the checkpoint of step 6"):
        launcher.run()


@pytest.mark.slow
def test_an_error_of_the_user_found_by_workers_ends_the_run_in_one_line(here):
    sets = [*small_sets(0), "train.steps=2", "launch.workers=1", "train.trainable=['unet.no_such_*']"]
    result = run(
        "train", "--stage", 0, "--preset", "tiny", *[flag for text in sets for flag in ("--set", text)]
    )
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: train.trainable: 'unet.no_such_*'")


def test_more_workers_than_there_are_cores_is_refused(here):
    sets = [*small_sets(0), "launch.workers=64", "train.global_batch=64"]
    result = run(
        "train", "--stage", 0, "--preset", "tiny", *[flag for text in sets for flag in ("--set", text)]
    )
    assert result.exit_code == 1
    assert "launch.workers is 64" in result.stderr


def test_a_second_ingest_states_that_nothing_was_left_to_do(here):
    command = ["ingest", "footage/table.csv", "--videos", "footage/videos", "--preset", "tiny", "--no-track"]
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert again.stdout.startswith("nothing left to do: every unit was finished before\n8 rows: 8 samples")
    report = parsed(run(*command, "--json"))["report"]
    assert (report["made_units"], report["skipped_units"]) == (0, 1)
    assert not (here / "runs" / "ingest").exists()  # no run in the tracker either
