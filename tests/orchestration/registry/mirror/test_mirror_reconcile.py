"""MLflow's registry becomes what the ledger records, whatever it was; only aliases and tags are deleted."""

import shutil

import pytest
from mlflow import MlflowClient

from orchestration.registry.mirror.reconcile import Change, Source, UnknownVersion, reconcile
from orchestration.registry.mirror.state import RegistryState, VersionState, desired_state
from tests.support.ledgers import event, history

MODEL = "animatic-tiny"


@pytest.fixture
def client(tmp_path, empty_store) -> MlflowClient:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def state(tmp_path) -> RegistryState:
    return desired_state(
        history(
            tmp_path,
            event("promoted", "a", forced="first"),
            event("promoted", "b", forced="better"),
            event("promoted", "c", alias="challenger"),
        )
    )


def mirror(
    client: MlflowClient, state: RegistryState
) -> tuple[tuple[Change, ...], tuple[UnknownVersion, ...]]:
    def locate(version: VersionState) -> Source:
        return Source(f"file:///bundles/{version.bundle_id[0]}")

    changes: list[Change] = []
    unknown = reconcile(client, state, locate, changes.append)
    return tuple(changes), unknown


def content(client: MlflowClient) -> object:
    """Everything that the ledger decides."""
    model = client.get_registered_model(MODEL)
    versions = client.search_model_versions(f"name='{MODEL}'", order_by=["version_number ASC"])
    return (
        model.description,
        {alias: str(number) for alias, number in model.aliases.items()},
        [(str(v.version), v.source, dict(v.tags), v.description) for v in versions],
    )


def test_an_empty_store_is_filled_and_repeating_changes_nothing(client, state):
    changes, unknown = mirror(client, state)
    assert [change.action for change in changes].count("created version") == 3
    _, aliases, versions = content(client)
    assert aliases == {"champion": "2", "previous": "1", "challenger": "3"}
    assert versions[1][1] == "file:///bundles/b"
    assert versions[1][2]["forced"] == "better"
    assert mirror(client, state) == ((), unknown) == ((), ())


def test_a_deleted_model_is_rebuilt_equal(client, state):
    mirror(client, state)
    before = content(client)
    client.delete_registered_model(MODEL)
    mirror(client, state)
    assert content(client) == before


def test_changes_by_hand_are_undone_and_foreign_tags_kept(client, state):
    mirror(client, state)
    before = content(client)
    client.set_registered_model_alias(MODEL, "champion", "1")
    client.delete_registered_model_alias(MODEL, "previous")
    client.set_registered_model_alias(MODEL, "mine", "3")
    client.update_registered_model(MODEL, "mine")
    client.update_model_version(MODEL, "2", "mine")
    client.set_model_version_tag(MODEL, "2", "forced", "never")
    client.set_model_version_tag(MODEL, "1", "withdrawn", "yes")
    client.delete_model_version_tag(MODEL, "3", "stage")
    changes, unknown = mirror(client, state)
    assert content(client) == before
    assert {(change.action, change.subject) for change in changes} == {
        ("described model", MODEL),
        ("described version", "b" * 64),
        ("set tag", "forced"),
        ("set tag", "stage"),
        ("removed tag", "withdrawn"),
        ("set alias", "champion"),
        ("set alias", "previous"),
        ("removed alias", "mine"),
    }
    client.set_model_version_tag(MODEL, "2", "team", "film")
    assert mirror(client, state) == ((), unknown)
    assert client.get_model_version(MODEL, "2").tags["team"] == "film"


def test_a_deleted_version_is_created_again_with_its_aliases(client, state):
    mirror(client, state)
    client.delete_model_version(MODEL, "2")  # MLflow deletes the alias champion with it
    changes, _ = mirror(client, state)
    assert [change.action for change in changes] == ["created version", "set alias"]
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert (champion.tags["bundle.id"], champion.source) == ("b" * 64, "file:///bundles/b")


def test_versions_that_the_ledger_lacks_are_reported_and_kept(client, state):
    mirror(client, state)
    client.create_model_version(MODEL, "file:///mine")
    client.create_model_version(MODEL, "file:///again", tags={"bundle.id": "b" * 64})
    client.create_registered_model("animatic-old")
    client.create_model_version("animatic-old", "file:///old", tags={"bundle.id": "d" * 64})
    client.create_registered_model("another")
    client.create_model_version("another", "file:///another")
    changes, unknown = mirror(client, state)
    assert changes == ()
    assert unknown == (
        UnknownVersion(MODEL, "4", None),
        UnknownVersion(MODEL, "5", "b" * 64),
        UnknownVersion("animatic-old", "1", "d" * 64),
    )
    assert client.get_model_version(MODEL, "4").source == "file:///mine"


def test_an_alias_follows_the_ledger_and_goes_with_its_withdrawal(tmp_path, client, state):
    mirror(client, state)
    events = [event("promoted", "a", forced="first"), event("promoted", "c", alias="challenger")]
    moved = history(tmp_path, *events, event("withdrawn", "c", alias="challenger"))
    mirror(client, desired_state(moved))
    _, aliases, _ = content(client)
    assert aliases == {"champion": "1"}


def test_a_version_of_an_earlier_mirror_is_kept(client, state):
    client.create_registered_model(MODEL)
    tags = {"bundle.id": "b" * 64, "stage": "3"}
    client.create_model_version(MODEL, "file:///before", tags=tags)
    client.set_registered_model_alias(MODEL, "champion", "1")
    mirror(client, state)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert (str(champion.version), champion.source) == ("1", "file:///before")
