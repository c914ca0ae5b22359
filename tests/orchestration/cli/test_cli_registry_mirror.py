"""`animatic registry mirror` rebuilds MLflow's registry, and promotions keep it current."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.command import fails, run
from tests.support.small_stages import make_bundle

MODEL = "animatic-tiny"


@pytest.fixture(scope="module")
def made(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a champion and a challenger, and an MLflow store that mirrors them."""
    folder = tmp_path_factory.mktemp("mirrored")
    shutil.copy(empty_store, folder / "mlflow.db")
    for seed, name in enumerate("ab"):
        make_bundle(folder / name, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variable in ("ANIMATIC_RUNS", "ANIMATIC_REGISTRY"):
            patch.delenv(variable, raising=False)
        patch.setenv("ANIMATIC_MLFLOW_URI", f"sqlite:///{folder / 'mlflow.db'}")
        assert run("promote", "./a", "--force", "--reason", "first").exit_code == 0
        assert run("promote", "./b", "--to", "challenger").exit_code == 0
    return folder


@pytest.fixture
def store(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of a copy of it, which the command uses by default."""
    shutil.copytree(made, here, dirs_exist_ok=True)
    uri = f"sqlite:///{here / 'mlflow.db'}"
    monkeypatch.setenv("ANIMATIC_MLFLOW_URI", uri)
    return uri


def aliases(uri: str) -> dict[str, str]:
    found = MlflowClient(tracking_uri=uri).get_registered_model(MODEL).aliases
    return {name: str(version) for name, version in found.items()}


def test_every_change_of_an_alias_is_mirrored_at_once(here: Path, store: str) -> None:
    assert aliases(store) == {"champion": "1", "challenger": "2"}
    assert run("withdraw", "challenger", "--from", "challenger", "--reason", "slow").exit_code == 0
    assert run("registry", "record-deployment", "champion", "--at", "https://serving").exit_code == 0
    assert run("export", "champion", "--to", "served").exit_code == 0
    assert aliases(store) == {"champion": "1"}
    champion = MlflowClient(tracking_uri=store).get_model_version(MODEL, "1")
    assert (champion.tags["forced"], champion.tags["deployed"]) == ("first", "https://serving")
    assert champion.tags["exported"] == str(here / "served" / "champion.json")


def test_a_rebuild_prints_what_it_changed_and_what_the_ledger_lacks(
    here: Path, store: str, empty_store: Path
) -> None:
    client = MlflowClient(tracking_uri=store)
    client.set_registered_model_alias(MODEL, "champion", "2")
    client.create_model_version(MODEL, "file:///mine")
    rebuilt = run("registry", "mirror")
    assert rebuilt.exit_code == 0
    assert rebuilt.stdout.splitlines() == [
        f"{MODEL}: set alias champion, version 1",
        f"{store} mirrors the ledger: 1 change",
    ]
    assert f"has version 3 of {MODEL} (no bundle), which the ledger does not account for" in rebuilt.stderr
    again = json.loads(run("registry", "mirror", "--json").stdout)
    assert again == {
        "mirrors": [
            {
                "target": store,
                "changes": [],
                "unknown": [{"model": MODEL, "version": "3", "bundle_id": None}],
            }
        ]
    }
    shutil.copy(empty_store, here / "other.db")
    assert run("registry", "mirror", "--mlflow-uri", "sqlite:///other.db").exit_code == 0
    assert aliases(f"sqlite:///{here / 'other.db'}") == {"champion": "1", "challenger": "2"}


def test_what_cannot_be_mirrored_is_one_line(here: Path) -> None:
    fails(
        "MLflow at http://127.0.0.1:9 does not answer",
        *("registry", "mirror", "--mlflow-uri", "http://u:p@127.0.0.1:9"),
    )
    fails("--at is without effect with mirror", "registry", "mirror", "--at", "x")
    fails("champion is without effect with mirror: leave it out", "registry", "mirror", "champion")
