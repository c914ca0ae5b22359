"""The mirror goes to the stores that runs were mirrored to, in the form that each accepts, and never delays
or fails a promotion."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.registry import Ledger, rollback
from orchestration.registry.mirror import mirror_change, mirror_ledger
from orchestration.tracking import mlflow_client, sync
from orchestration.tracking.backends import MlflowBackend
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle
from tests.support.tracked_runs import PROJECT, make_run, runs_at

SERVER = "http://tracking.example"
NOWHERE = "sqlite:////nowhere/mlflow.db"


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

    monkeypatch.setattr("orchestration.registry.mirror.stores.mlflow_client", client)
    return SERVER


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs")


def mirrored(ledger: Ledger, folder: Path, workspace_uri: str, **more) -> str | None:
    return mirror_change(ledger, workspace_uri, promote(ledger, open_bundle(folder)), **more)


def champion(store: str, model: str = "animatic-tiny"):
    return MlflowClient(tracking_uri=store).get_model_version_by_alias(model, "champion")


def test_on_a_server_the_alias_points_below_the_run(tmp_path, ledger, store, server):
    config = f"tracking: {{mlflow_uri: '{server}', project: {PROJECT}}}\n"
    run = make_run(tmp_path / "runs" / "a-run", config)
    make_bundle(run / "bundle")
    sync(run, PROJECT, [MlflowBackend(store)])
    (tracked,) = runs_at(store)
    assert mirrored(ledger, run / "bundle", NOWHERE) is None
    assert champion(store).source == f"runs:/{tracked.info.run_id}/bundle"
    assert champion(store).run_id == tracked.info.run_id  # servers refuse the source without it
    assert mirrored(ledger, run / "bundle", NOWHERE) is None
    assert int(champion(store).version) == 1
    assert len(runs_at(store)) == 1


def test_on_a_server_a_bundle_without_a_run_gets_one_once(tmp_path, ledger, store, server):
    make_bundle(tmp_path / "imported" / "bundle")
    assert mirrored(ledger, tmp_path / "imported" / "bundle", server) is None
    before = champion(store)
    client = MlflowClient(tracking_uri=store)
    run = client.get_run(before.run_id)
    assert before.source == f"runs:/{before.run_id}/bundle"
    assert run.data.tags["animatic.folder"] == str(tmp_path / "imported" / "bundle")
    assert run.info.status == "FINISHED"
    client.delete_registered_model("animatic-tiny")
    mirror_ledger(ledger, server)
    assert champion(store).source == before.source


def test_in_a_local_store_the_alias_points_at_the_folder(tmp_path, ledger, store):
    run = make_run(tmp_path / "runs" / "a-run")
    make_bundle(run / "bundle")
    assert mirrored(ledger, run / "bundle", store) is None
    assert champion(store).source == (run / "bundle").as_uri()


def test_a_rebuild_follows_a_rollback(tmp_path, ledger, store):
    for seed, name in enumerate("ab"):
        make_bundle(tmp_path / "runs" / name, seed=seed)
        promote(ledger, open_bundle(tmp_path / "runs" / name))
    mirror_ledger(ledger, store)
    rollback(ledger)
    (done,) = mirror_ledger(ledger, NOWHERE, store)
    assert (done.target, done.unknown) == (store, ())
    assert {(change.action, change.subject) for change in done.changes} >= {
        ("set alias", "champion"),
        ("removed alias", "previous"),
    }
    assert champion(store).source == (tmp_path / "runs" / "a").as_uri()
    (again,) = mirror_ledger(ledger, store)
    assert again.changes == ()


def test_the_result_names_its_store_without_the_password(ledger, store, monkeypatch):
    monkeypatch.setattr("orchestration.registry.mirror.stores.mlflow_client", lambda _: mlflow_client(store))
    (done,) = mirror_ledger(ledger, NOWHERE, SERVER.replace("://", "://ann:hunter2@"))
    assert done.target == SERVER


def test_the_store_of_every_bundle_with_an_alias_is_kept_current(tmp_path, ledger, empty_store):
    stores = {}
    for seed, name in enumerate("ab"):
        shutil.copy(empty_store, tmp_path / f"{name}.db")
        stores[name] = f"sqlite:///{tmp_path / f'{name}.db'}"
        run = make_run(tmp_path / "runs" / name, f"tracking: {{mlflow_uri: '{stores[name]}'}}\n")
        make_bundle(run / "bundle", seed=seed)
        assert mirrored(ledger, run / "bundle", NOWHERE) is None
    for store in stores.values():
        assert champion(store).source == (tmp_path / "runs" / "b" / "bundle").as_uri()


def test_a_store_that_fails_is_a_warning_without_passwords(tmp_path, ledger):
    make_bundle(tmp_path / "runs" / "bundle")
    warning = mirrored(ledger, tmp_path / "runs" / "bundle", "http://ann:hunter2@127.0.0.1:9")
    assert warning is not None
    assert "MLflow's registry could not be updated: MLflow at http://127.0.0.1:9 does not answer" in warning
    assert "`animatic registry mirror` repeats it" in warning
    assert "hunter2" not in warning
    assert "\n" not in warning
    with pytest.raises(AnimaticError, match=r"^MLflow at http://127\.0\.0\.1:9 does not answer"):
        mirror_ledger(ledger, NOWHERE, "http://ann:hunter2@127.0.0.1:9")


def test_a_server_that_never_answers_delays_a_promotion_by_the_limit_alone(tmp_path, ledger, silent):
    make_bundle(tmp_path / "runs" / "bundle")
    promote(ledger, open_bundle(tmp_path / "runs" / "bundle"))
    begin = time.monotonic()
    warning = mirrored(ledger, tmp_path / "runs" / "bundle", silent, limit_s=0.3)
    assert time.monotonic() - begin < 15  # the client alone would wait 20 s
    assert f"MLflow at {silent} does not answer" in (warning or "")


def test_a_damaged_configuration_of_the_run_is_a_warning(tmp_path, ledger, store):
    run = make_run(tmp_path / "runs" / "a-run", "tracking: [1, 2]\n")
    make_bundle(run / "bundle")
    assert "tracking must be a section of keys" in (mirrored(ledger, run / "bundle", store) or "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError("\n the store is locked\nand a long trace"),
            f"MLflow at {SERVER}: the store is locked",
        ),
        (RuntimeError(" "), f"MLflow at {SERVER}: RuntimeError"),
        (
            ModuleNotFoundError("No module named 'mlflow'"),
            "MLflow is not installed (No module named 'mlflow')",
        ),
    ],
)
def test_the_warning_has_the_first_line_of_the_error_or_its_type(
    tmp_path, ledger, monkeypatch, error, reason
):
    def fail(uri: str) -> None:
        raise error

    monkeypatch.setattr("orchestration.registry.mirror.stores.mlflow_client", fail)
    make_bundle(tmp_path / "runs" / "bundle")
    warning = mirrored(ledger, tmp_path / "runs" / "bundle", SERVER)
    assert (warning or "").startswith(
        f"recorded in the ledger, but MLflow's registry could not be updated: {reason}"
    )


def test_what_the_ledger_gets_meanwhile_is_mirrored_too(tmp_path, ledger, store, monkeypatch):
    """Of two promotions at once, the one that mirrors last may have read the ledger first."""
    for seed, name in enumerate("ab"):
        make_bundle(tmp_path / "runs" / name, seed=seed)
    promote(ledger, open_bundle(tmp_path / "runs" / "a"))
    pending = [tmp_path / "runs" / "b"]

    def slow(uri: str) -> MlflowClient:
        client = mlflow_client(uri)
        change = client.set_registered_model_alias

        def interrupted(*arguments):
            change(*arguments)
            if pending:
                promote(ledger, open_bundle(pending.pop()))

        client.set_registered_model_alias = interrupted
        return client

    monkeypatch.setattr("orchestration.registry.mirror.stores.mlflow_client", slow)
    mirror_ledger(ledger, store)
    assert champion(store).source == (tmp_path / "runs" / "b").as_uri()
