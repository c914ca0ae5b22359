"""Runs and stores that are moved or copied keep what is theirs, and leave the originals alone."""

import json
import logging
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestration.tracking import TrackedRun, recorded_tracking, sync
from orchestration.tracking.backends import MlflowBackend, WandbBackend
from tests.support.tracked_runs import PROJECT, append, make_run, points_at, runs_at, write_metrics
from tests.support.wandb_file import finished_records


@pytest.fixture
def workspace(tmp_path, empty_store) -> Path:
    """A folder of runs with an MLflow store and one run, delivered to it."""
    root = tmp_path / "runs"
    make_run(root / "a-run")
    shutil.copy(empty_store, root / "mlflow.db")
    deliver(root)
    return root


def store_of(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow.db'}"


def deliver(root: Path, name: str = "a-run") -> int:
    """Values delivered to the workspace's own store."""
    (report,) = sync(root / name, PROJECT, [MlflowBackend(store_of(root))])
    assert report.error is None
    return report.points


def test_a_copied_run_is_a_run_of_its_own(workspace):
    shutil.copytree(workspace / "a-run", workspace / "copy")
    write_metrics(workspace / "copy", range(6, 8))
    assert deliver(workspace, "copy") == 7
    assert deliver(workspace) == 0
    original, copy = runs_at(store_of(workspace))
    assert (original.info.run_name, copy.info.run_name) == ("a-run", "copy")
    assert len(points_at(store_of(workspace), original)) == 5
    assert len(points_at(store_of(workspace), copy)) == 7


def test_a_copied_run_is_one_of_its_own_at_wandb(workspace):
    sync(workspace / "a-run", PROJECT, [WandbBackend("offline", PROJECT)])
    shutil.copytree(workspace / "a-run", workspace / "copy", ignore=shutil.ignore_patterns("wandb"))
    sync(workspace / "copy", PROJECT, [WandbBackend("offline", PROJECT)])
    ids = {path.name for path in workspace.glob("*/wandb/offline-run-*/run-*.wandb")}
    assert len(ids) == 2


def test_a_moved_run_stays_the_same_run(workspace):
    (workspace / "a-run").rename(workspace / "b-run")
    write_metrics(workspace / "b-run", range(6, 8))
    assert deliver(workspace, "b-run") == 2
    (run,) = runs_at(store_of(workspace))
    assert len(points_at(store_of(workspace), run)) == 7
    assert run.data.tags["animatic.folder"] == str(workspace / "b-run")


def test_a_run_that_is_reached_by_another_path_is_no_copy(workspace, tmp_path):
    before = TrackedRun.of(workspace / "a-run", PROJECT).id
    (tmp_path / "link").symlink_to(workspace)
    assert TrackedRun.of(tmp_path / "link" / "a-run", PROJECT).id == before


def test_a_moved_workspace_keeps_artifacts_beside_its_store_and_repeats_nothing(
    workspace, tmp_path, caplog, monkeypatch
):
    moved = tmp_path / "elsewhere" / "rüns"
    moved.parent.mkdir()
    workspace.rename(moved)
    write_metrics(moved / "a-run", range(6, 8))
    (moved / "a-run" / "samples").mkdir()
    (moved / "a-run" / "samples" / "step-7.txt").write_text("a sample")
    append(moved / "a-run", "sample", 7, path="samples/step-7.txt", prompt="a cat")
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._artifact_repos_cache", OrderedDict())
    with caplog.at_level(logging.WARNING):
        assert deliver(moved) == 2
    assert "MLflow's artifacts are in file:" in caplog.text
    assert not [*workspace.rglob("*")], [*workspace.rglob("*")]
    (run,) = runs_at(store_of(moved))
    assert len(points_at(store_of(moved), run)) == 7
    client = MlflowClient(tracking_uri=store_of(moved))
    assert Path(client.download_artifacts(run.info.run_id, "samples/step-7.txt")).read_text() == "a sample"
    assert Path(client.download_artifacts(run.info.run_id, "config.yaml")).read_text() == "stage: 1\n"
    caplog.clear()
    deliver(moved)
    assert "artifacts" not in caplog.text


def test_a_copied_workspace_leaves_the_original_alone(workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "copy")
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    write_metrics(tmp_path / "copy" / "a-run", range(6, 8))
    deliver(tmp_path / "copy")
    assert {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()} == before


def test_a_location_that_others_chose_stays(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=store)
    client.create_experiment(PROJECT, artifact_location=(tmp_path / "their-files").as_uri())
    sync(make_run(tmp_path / "runs" / "a-run"), PROJECT, [MlflowBackend(store)])
    assert client.get_experiment_by_name(PROJECT).artifact_location == (tmp_path / "their-files").as_uri()
    assert list((tmp_path / "their-files").rglob("config.yaml"))


def test_the_store_of_an_ingest_that_was_moved_is_the_present_one(tmp_path):
    tracking = {"mlflow_uri": f"sqlite:///{tmp_path / 'gone' / 'mlflow.db'}", "project": "animatic-ingest"}
    run = make_run(tmp_path / "run", json.dumps({"ingest": {}, "tracking": tracking}))
    assert recorded_tracking(run, "sqlite:///present.db").mlflow_uri == "sqlite:///present.db"
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "mlflow.db").touch()
    assert recorded_tracking(run, "sqlite:///present.db").mlflow_uri == tracking["mlflow_uri"]


def test_the_files_of_an_interrupted_run_make_one_run_at_wandb(tmp_path):
    run = make_run(tmp_path / "run", "stage: 1\n")
    reports = sync(run, PROJECT, [WandbBackend("offline", PROJECT)])
    append(run, "resume", 3)
    write_metrics(run, range(4, 9))
    reports += sync(run, PROJECT, [WandbBackend("offline", PROJECT)])
    assert [(report.points, report.error) for report in reports] == [(5, None), (3, None)]

    files = list(run.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({path.name for path in files}) == 1
    numbers, configured = [], []
    for path in files:
        for record in finished_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                numbers.append(record.history.step.num)
            if kind == "config":
                configured += [(path, item.key) for item in record.config.update]
    assert sorted(numbers) == list(range(8))
    assert {path for path, key in configured if key == "stage"} == set(files)
