"""Trackers mirror the journal exactly, later if necessary, and never affect the run."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from orchestration.media import write_mp4
from orchestration.tracking import Mirror, sync
from orchestration.tracking.backends import Backend, MlflowBackend, WandbBackend
from orchestration.tracking.delivery import Delivery
from orchestration.tracking.run import TrackedRun
from tests.support.paths import ROOT
from tests.support.wandb_file import history

PROJECT = "tracking-test"


def append(folder: Path, event: str, step: int, **content) -> None:
    line = {"time": 1_700_000_000.0 + step, "event": event, "step": step, **content}
    with (folder / "journal.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def write_metrics(folder: Path, steps: range) -> None:
    for step in steps:
        append(folder, "metrics", step, metrics={"train/loss": 1 / step, "train/lr": 1e-4 * step})


@pytest.fixture
def run_folder(tmp_path) -> Path:
    folder = tmp_path / "runs" / "a-run"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("stage: 1\noptimizer: {lr: 0.0001}\n")
    append(folder, "start", 0, config_hash="c0ffee")
    write_metrics(folder, range(1, 6))
    (folder / "samples").mkdir()
    write_mp4(np.zeros((4, 32, 32, 3), np.uint8), folder / "samples" / "step-5.mp4", 8)
    append(folder, "sample", 5, path="samples/step-5.mp4", prompt="a red ball")
    append(folder, "checkpoint", 5, uri="checkpoints/step-5", digest="abc")
    return folder


@pytest.fixture
def store(tmp_path, empty_store) -> str:
    """A sqlite store: making its tables is what takes time."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def dead_server() -> Iterator[str]:
    """A loopback URL that refuses connections: its port is taken, and nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def journal_points(folder: Path) -> dict[tuple[str, int], float]:
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return {
        (key, line["step"]): value
        for line in lines
        for key, value in line.get("metrics", {}).items()
        if value is not None
    }


def mlflow_run(store: str, folder: Path):
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(PROJECT)
    runs = client.search_runs([experiment.experiment_id], f"tags.`animatic.folder` = '{folder.resolve()}'")
    assert len(runs) == 1
    return client, runs[0]


def mlflow_points(store: str, folder: Path) -> list[tuple[str, int, float]]:
    client, run = mlflow_run(store, folder)
    return [
        (key, point.step, point.value)
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    ]


def test_mlflow_contains_exactly_the_journal(run_folder, store):
    append(run_folder, "metrics", 6, metrics={"train/loss": None, "train/lr": 1e-3})
    append(run_folder, "end", 6)
    (report,) = sync(run_folder, PROJECT, [MlflowBackend(store)])

    assert report.error is None
    points = mlflow_points(store, run_folder)
    assert {(key, step): value for key, step, value in points} == journal_points(run_folder)
    client, run = mlflow_run(store, run_folder)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.lr"] == "0.0001"
    assert run.data.tags["config_hash"] == "c0ffee"
    assert run.data.tags["checkpoint.digest"] == "abc"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "samples")] == ["samples/step-5.mp4"]


def test_replaying_again_or_after_a_resume_delivers_nothing_twice(run_folder, store):
    sync(run_folder, PROJECT, [MlflowBackend(store)])
    (again,) = sync(run_folder, PROJECT, [MlflowBackend(store)])
    append(run_folder, "resume", 3)
    write_metrics(run_folder, range(4, 9))
    (after,) = sync(run_folder, PROJECT, [MlflowBackend(store)])

    assert (again.points, again.error) == (0, None)
    assert after.points == 2 * 3
    points = mlflow_points(store, run_folder)
    assert len(points) == len({(key, step) for key, step, _ in points}) == 2 * 8


def test_steps_that_a_rollback_repeats_are_delivered_with_their_other_values(run_folder, store):
    sync(run_folder, PROJECT, [MlflowBackend(store)])
    append(run_folder, "resume", 3)
    append(run_folder, "rollback", 3, from_step=5, data_round=1)
    append(run_folder, "metrics", 4, metrics={"train/loss": 0.125})
    (after,) = sync(run_folder, PROJECT, [MlflowBackend(store)])
    assert after.points == 1
    found = [value for *point, value in mlflow_points(store, run_folder) if point == ["train/loss", 4]]
    assert len(found) == 2 and 0.125 in found


def test_wandb_writes_a_readable_offline_run_under_the_run_folder(run_folder):
    sync(run_folder, PROJECT, [WandbBackend("offline", PROJECT)])
    write_metrics(run_folder, range(6, 8))
    sync(run_folder, PROJECT, [WandbBackend("offline", PROJECT)])

    rows = history(run_folder)
    delivered = {
        (key, row["step"]): value for row in rows for key, value in row.items() if key.startswith("train/")
    }
    assert delivered == pytest.approx(journal_points(run_folder))
    assert any(key.startswith("samples/step-5") for row in rows for key in row)
    assert list(run_folder.glob("wandb/offline-run-*/files/media/**/*.mp4"))


def test_the_end_of_wandb_s_own_process_is_no_traceback(run_folder):
    """A signal to all processes of a job reaches it too, before the run has written its last lines."""
    script = """
import sys, psutil
from orchestration.tracking import TrackedRun, mirrored
from orchestration.tracking.backends import WandbBackend
from tests.orchestration.tracking.test_tracking import PROJECT, Path, threading, write_metrics

folder, backend, delivered = Path(sys.argv[1]), WandbBackend("offline", PROJECT), threading.Event()
deliver = backend.deliver
backend.deliver = lambda delivery: (deliver(delivery), delivered.set())
with mirrored(TrackedRun.of(folder, PROJECT), [backend], print):
    assert delivered.wait(60)
    for process in psutil.Process().children(recursive=True):
        process.terminate()
        process.wait()
    write_metrics(folder, range(6, 8))
"""
    command = [sys.executable, "-c", script, run_folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_a_dead_server_does_not_fail_the_run_and_sync_delivers_later(run_folder, store, dead_server):
    backends: list[Backend] = [MlflowBackend(dead_server), WandbBackend("offline", PROJECT)]
    mirror = Mirror(TrackedRun.of(run_folder, PROJECT), backends, poll_s=0.05)
    write_metrics(run_folder, range(6, 20))
    append(run_folder, "end", 19)

    behind = mirror.close("finished", grace_s=120)

    assert list(behind) == ["mlflow"]
    assert "NewConnectionError" in behind["mlflow"]
    assert len({row["step"] for row in history(run_folder) if "train/loss" in row}) == 19
    (failed,) = sync(run_folder, PROJECT, [MlflowBackend(dead_server)])
    assert f"request to {dead_server}/" in (failed.error or "") and "NewConnectionError" in failed.error
    (report,) = sync(run_folder, PROJECT, [MlflowBackend(store)])
    assert (report.points, report.error) == (2 * 19, None)
    assert len(mlflow_points(store, run_folder)) == 2 * 19


class Unreliable:
    """A tracker that fails on its first tries and remembers what it received."""

    name, target, unique_ids = "unreliable", "nowhere", False

    def __init__(self, failures: int) -> None:
        self.failures, self.received, self.outcome = failures, [], None
        self.delivered = threading.Event()

    def open(self, run, known_id, rows) -> str:
        return known_id or "1"

    def describe(self, run) -> None:
        self.config = run.config()

    def deliver(self, delivery: Delivery) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("unreachable")
        self.received += [(point.key, point.step) for point in delivery.points]
        self.delivered.set()

    def display(self, facts, changes) -> None:
        self.displayed = dict(facts.tags)

    def close(self, outcome) -> None:
        self.outcome = outcome


class Hanging(Unreliable):
    """A tracker that does not answer."""

    name = "hanging"

    def __init__(self) -> None:
        super().__init__(failures=0)
        self.answer = threading.Event()

    def open(self, run, known_id, rows) -> str:
        self.answer.wait()
        return super().open(run, known_id, rows)


def test_a_tracker_that_does_not_answer_delays_neither_the_run_nor_other_trackers(run_folder):
    hanging, other = Hanging(), Unreliable(failures=0)
    mirror = Mirror(TrackedRun.of(run_folder, PROJECT), [hanging, other], poll_s=0.05)
    try:
        assert other.delivered.wait(60)
        append(run_folder, "end", 6)
        assert mirror.close("finished", grace_s=1) == {"hanging": "still busy after 1 s"}
        assert other.outcome == "finished" and not hanging.answer.is_set()
    finally:
        hanging.answer.set()
    assert hanging.delivered.wait(60)


def test_a_tracker_that_comes_back_gets_everything_once(run_folder, monkeypatch):
    monkeypatch.setattr("orchestration.tracking.mirror.RETRY_FIRST_S", 0.05)
    unreliable = Unreliable(failures=3)
    mirror = Mirror(TrackedRun.of(run_folder, PROJECT), [unreliable], poll_s=0.05)
    assert unreliable.delivered.wait(60)
    assert mirror.close("interrupted") == {}
    assert unreliable.outcome == "interrupted"
    assert sorted(unreliable.received) == sorted(journal_points(run_folder))


def test_the_position_in_a_state_file_of_an_earlier_version_is_kept(run_folder):
    tracker = Unreliable(failures=0)
    sync(run_folder, PROJECT, [tracker])
    (state,) = (run_folder / "tracking").glob("unreliable-*.json")
    state.write_text(state.read_text().replace('"delivered"', '"told"'))
    append(run_folder, "resume", 3)
    write_metrics(run_folder, range(4, 7))
    again = Unreliable(failures=0)
    (report,) = sync(run_folder, PROJECT, [again])
    assert report.error is None
    assert {step for _, step in again.received} == {6}


def test_a_run_being_mirrored_is_not_synced_at_the_same_time(run_folder):
    unreliable = Unreliable(failures=0)
    mirror = Mirror(TrackedRun.of(run_folder, PROJECT), [unreliable], poll_s=0.05)
    assert unreliable.delivered.wait(60)
    (report,) = sync(run_folder, PROJECT, [Unreliable(failures=0)])
    mirror.close("finished")
    assert "another process" in (report.error or "")
