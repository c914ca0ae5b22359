"""A real MLflow server is rebuilt from the ledger alone, and its end delays nothing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.bundle import open_bundle
from orchestration.registry import Ledger, give_alias, mirror_change, mirror_ledger, rollback, withdraw
from orchestration.tracking import mlflow_client
from tests.support.mlflow_server import mlflow_server
from tests.support.promotions import promote
from tests.support.small_stages import make_bundle

MODEL = "animatic-tiny"
pytestmark = pytest.mark.slow


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    """Three bundles: one was champion and was rolled back, one is, one is challenger."""
    ledger = Ledger(tmp_path / "runs")
    for seed, name in enumerate("abc"):
        make_bundle(tmp_path / "runs" / name, seed=seed)
    promote(ledger, open_bundle(tmp_path / "runs" / "a"))
    promote(ledger, open_bundle(tmp_path / "runs" / "b"))
    rollback(ledger)
    give_alias(ledger, open_bundle(tmp_path / "runs" / "c"), "challenger")
    return ledger


def content(uri: str) -> tuple[object, ...]:
    """What anyone sees at the server."""
    client = mlflow_client(uri)
    model = client.get_registered_model(MODEL)
    versions = sorted(client.search_model_versions(f"name='{MODEL}'"), key=lambda each: int(each.version))
    return (
        {alias: str(number) for alias, number in model.aliases.items()},
        model.description,
        [(str(each.version), dict(each.tags), each.description, each.source) for each in versions],
    )


def test_a_server_follows_the_ledger_and_is_rebuilt_after_any_change_by_hand(tmp_path, ledger):
    with mlflow_server(tmp_path / "server") as uri:
        client = mlflow_client(uri)
        mirror_ledger(ledger, uri)
        before = content(uri)
        aliases, _, versions = before
        assert aliases == {"champion": "1", "challenger": "3"}
        assert [tags["gate"] for _, tags, _, _ in versions[:2]] == ["PASS", "PASS"]
        assert "Gate tests: **PASS**" in versions[0][2]
        assert mirror_ledger(ledger, uri)[0].changes == ()

        client.set_registered_model_alias(MODEL, "champion", "2")
        client.set_registered_model_alias(MODEL, "mine", "2")
        client.delete_model_version(MODEL, "3")
        mirror_ledger(ledger, uri)
        assert client.get_model_version_by_alias(MODEL, "champion").version in ("1", 1)
        assert content(uri)[0] == {"champion": "1", "challenger": "4"}

        client.delete_registered_model(MODEL)
        mirror_ledger(ledger, uri)
        assert content(uri) == before

        withdrawal = withdraw(ledger, ledger.aliases("tiny")["challenger"], "licence", force=True)
        assert mirror_change(ledger, uri, withdrawal) is None
        aliases, _, versions = content(uri)
        assert aliases == {"champion": "1"}
        assert versions[2][1]["withdrawn"] == "licence"
        assert "withdrawn, was challenger (licence)" in versions[2][2]


def test_two_mirrors_at_once_end_in_the_ledger_s_state(tmp_path, ledger):
    with mlflow_server(tmp_path / "server") as uri, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(mirror_ledger, ledger, uri) for _ in range(4)]:
            done.result()
        mirror_ledger(ledger, uri)
        client = mlflow_client(uri)
        for alias, folder in (("champion", "a"), ("challenger", "c")):
            version = client.get_model_version_by_alias(MODEL, alias)
            assert version.tags["bundle.id"] == open_bundle(tmp_path / "runs" / folder).id


def test_a_server_that_ends_is_a_warning_and_catches_up_later(tmp_path, ledger):
    with mlflow_server(tmp_path / "server") as uri:
        mirror_ledger(ledger, uri)
    entry = promote(ledger, open_bundle(tmp_path / "runs" / "b"))
    begin = time.monotonic()
    warning = mirror_change(ledger, uri, entry)
    assert time.monotonic() - begin < 30
    assert f"MLflow at {uri} does not answer" in (warning or "")
    with mlflow_server(tmp_path / "server") as uri:
        mirror_ledger(ledger, uri)
        assert content(uri)[0] == {"champion": "2", "previous": "1", "challenger": "3"}
