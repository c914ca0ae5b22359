"""The champion's alias goes to the store that its run was mirrored to, in the form that store accepts."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from models.bundle import open_bundle
from orchestration.registry import mirror_champion
from orchestration.tracking import mlflow_client, sync
from orchestration.tracking.backends import MlflowBackend
from orchestration.workspace import Workspace
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle
from tests.support.tracked_runs import PROJECT, make_run, runs_at

SERVER = "http://tracking.example"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path, empty_store) -> str:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def server(store, monkeypatch) -> str:
    """The address of a server, whose part a local store plays."""

    def client(uri: str) -> MlflowClient:
        assert uri == SERVER
        return mlflow_client(store)

    monkeypatch.setattr("orchestration.registry.mlflow_registry.mlflow_client", client)
    return SERVER


def mirrored(folder: Path, workspace_uri: str) -> str | None:
    entry = promote(Workspace(folder.parents[1] / "runs").ledger, open_bundle(folder))
    return mirror_champion(workspace_uri, entry, folder)


def champion(store: str):
    return MlflowClient(tracking_uri=store).get_model_version_by_alias("animatic-tiny", "champion")


def test_on_a_server_the_alias_points_below_the_run(tmp_path, store, server):
    config = f"tracking: {{mlflow_uri: '{server}', project: {PROJECT}}}\n"
    run = make_run(tmp_path / "runs" / "a-run", config)
    make_bundle(run / "bundle")
    sync(run, PROJECT, [MlflowBackend(store)])
    (tracked,) = runs_at(store)
    assert mirrored(run / "bundle", "sqlite:////nowhere/mlflow.db") is None
    assert champion(store).source == f"runs:/{tracked.info.run_id}/bundle"
    assert champion(store).run_id == tracked.info.run_id  # servers refuse the source without it
    assert champion(store).tags["bundle.id"] == open_bundle(run / "bundle").id
    assert mirrored(run / "bundle", "sqlite:////nowhere/mlflow.db") is None
    assert int(champion(store).version) == 1
    assert len(runs_at(store)) == 1


def test_on_a_server_a_bundle_without_a_run_gets_one(tmp_path, store, server):
    make_bundle(tmp_path / "imported" / "bundle")
    assert mirrored(tmp_path / "imported" / "bundle", server) is None
    run_id = champion(store).source.removeprefix("runs:/").removesuffix("/bundle")
    run = MlflowClient(tracking_uri=store).get_run(run_id)
    assert run.data.tags["animatic.folder"] == str(tmp_path / "imported" / "bundle")
    assert run.info.status == "FINISHED"


def test_in_a_local_store_the_alias_points_at_the_folder(tmp_path, store):
    run = make_run(tmp_path / "runs" / "a-run")
    make_bundle(run / "bundle")
    assert mirrored(run / "bundle", store) is None
    assert champion(store).source == (run / "bundle").as_uri()


def test_a_store_that_fails_is_a_warning_without_passwords(tmp_path):
    make_bundle(tmp_path / "runs" / "bundle")
    warning = mirrored(tmp_path / "runs" / "bundle", "http://ann:hunter2@127.0.0.1:9")
    assert warning is not None
    assert "MLflow's registry could not be updated" in warning
    assert "127.0.0.1:9" in warning
    assert "hunter2" not in warning


def test_a_damaged_configuration_of_the_run_is_a_warning(tmp_path, store):
    run = make_run(tmp_path / "runs" / "a-run", "tracking: [1, 2]\n")
    make_bundle(run / "bundle")
    assert "tracking must be a section of keys" in (mirrored(run / "bundle", store) or "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("\n the store is locked\nand a long trace"), "the store is locked"),
        (RuntimeError(" "), "RuntimeError"),
    ],
)
def test_the_warning_has_the_first_line_of_the_error_or_its_type(tmp_path, monkeypatch, error, reason):
    def fail(uri: str) -> None:
        raise error

    monkeypatch.setattr("orchestration.registry.mlflow_registry.mlflow_client", fail)
    make_bundle(tmp_path / "runs" / "bundle")
    assert mirrored(tmp_path / "runs" / "bundle", SERVER) == (
        f"recorded in the ledger, but MLflow's registry could not be updated: {reason}"
    )
