"""Which version a replica serves, whatever is published."""

import json

import pytest
import torch

from models.animator import Animator
from orchestration.export import Location
from orchestration.serving.counters import SWAPS
from orchestration.serving.exchange import deployments, slot, swapping
from orchestration.serving.jobs import JobStoreError
from tests.orchestration.serving.exchange.conftest import CHANGES, Published, Replica
from tests.support.exports import champion, export_to, flip_byte
from tests.support.signing_keys import key_pair
from tests.support.waiting import wait_until


def damaged_file(published: Published) -> None:
    published.publish("second")
    flip_byte(published.export(), "bundle/model.safetensors")


def missing_file(published: Published) -> None:
    published.publish("second")
    published.export().remove("bundle/bundle.json")


def truncated_file(published: Published) -> None:
    published.publish("second")
    folder = published.export()
    folder.write("bundle/model.safetensors", folder.read("bundle/model.safetensors")[:-100])


def missing_folder(published: Published) -> None:
    published.publish("second")
    published.export().remove_tree("bundle")
    published.export().remove("export.json")


def changed_manifest(published: Published) -> None:
    published.publish("second")
    folder = published.export()
    folder.write("export.json", folder.read("export.json").replace(b'"stage": 3', b'"stage": 2'))


def garbage_pointer(published: Published) -> None:
    published.point("champion", b"{")


def later_pointer(published: Published) -> None:
    pointer = json.loads(published.pointer().encoded())
    published.point("champion", json.dumps(pointer | {"format": 9}).encode())


BAD = {
    bad.__name__: bad
    for bad in (
        damaged_file, missing_file, truncated_file, missing_folder, changed_manifest, garbage_pointer,
        later_pointer,
    )
}  # fmt: skip


@pytest.mark.parametrize("bad", [*BAD, *CHANGES])
def test_a_bad_version_is_never_served_and_a_good_one_after_it_is(bad, replica, published):
    serving = replica()
    good = published.publish("first")
    serving.turn()
    assert serving.serves() == good
    if bad in BAD:
        BAD[bad](published)
    else:
        published.publish(bad)
    for _ in range(2):
        serving.turn()
        assert serving.serves() == good
    status = serving.status()
    assert status.serving is not None and status.serving.manifest == good
    assert status.last_error is not None and "\n" not in status.last_error
    later = published.publish("third")
    serving.turn()
    assert serving.serves() == later != good
    assert serving.status().last_error is None


def test_a_version_that_failed_is_not_tried_again(replica, published):
    published.publish("first")
    serving = replica()
    serving.turn()
    published.publish("nan")
    for _ in range(3):
        serving.turn()
    assert serving.store.counters()[next(iter(SWAPS.add("champion", "load")))] == 1


def test_nothing_is_served_before_a_smoke_clip(replica, published):
    published.publish("first")
    serving = replica()
    serving.exchange.look()
    assert serving.exchange.served() == frozenset()
    assert serving.status().state == "smoke"
    serving.exchange.between_jobs()
    assert "champion" in serving.exchange.served()


@pytest.mark.parametrize(("compilation", "compiles"), [("off", False), ("blocks", True)])
def test_a_version_is_compiled_before_its_smoke_clip_where_that_is_set(
    replica, published, monkeypatch, compilation, compiles
):
    compiled = []

    def compile_function(function, **_):
        def run(*args, **kwargs):
            compiled.append(function.__qualname__)
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr("torch.compile", compile_function)
    serving = replica(engine={"compile": compilation})
    good = published.publish("first")
    serving.turn()
    assert serving.serves() == good
    assert ("ResBlock.forward" in compiled) == compiles


def test_a_version_that_cannot_be_compiled_here_is_not_served(replica, published, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("torch.compile", broken)
    serving = replica(engine={"compile": "graphs"})
    published.publish("first")
    serving.turn()
    assert serving.serves() is None
    assert "no C++ compiler" in serving.status().last_error


def test_a_replica_that_starts_with_a_bad_version_serves_the_next_good_one(replica, published):
    published.publish("overflowing")
    serving = replica()
    serving.turn()
    assert serving.exchange.served() == frozenset()
    assert "smoke clip" in serving.status().last_error
    good = published.publish("first")
    serving.turn()
    assert serving.serves() == good


def test_an_optional_model_comes_and_goes_with_its_export(replica, published):
    champion = published.publish("first")
    serving = replica()
    serving.turn()
    assert serving.serves("challenger") is None
    challenger = published.publish("second", "challenger")
    serving.turn()
    assert (serving.serves(), serving.serves("challenger")) == (champion, challenger)
    (published.folder / "challenger.json").unlink()
    serving.turn()
    assert (serving.serves(), serving.serves("challenger")) == (champion, None)


def test_memory_is_not_freed_again_while_an_optional_model_is_gone(replica, published, monkeypatch):
    published.publish("first")
    serving = replica()
    serving.turn()
    monkeypatch.setattr(swapping, "free_memory", lambda: pytest.fail("takes long, and frees nothing"))
    serving.turn()


def test_the_required_model_is_served_on_when_its_export_is_gone(replica, published):
    champion = published.publish("first")
    serving = replica()
    serving.turn()
    (published.folder / "champion.json").unlink()
    serving.turn()
    assert serving.serves() == champion
    assert "has no export named champion" in serving.status().last_error


def test_one_version_under_two_names_is_loaded_once(replica, published):
    published.publish("first")
    published.publish("first", "challenger")
    serving = replica()
    serving.turn()
    versions = [serving.exchange.resolve(name) for name in ("champion", "challenger")]
    assert versions[0].animator is versions[1].animator
    later = published.publish("second")
    serving.turn()
    assert serving.serves() == later
    assert serving.exchange.resolve("challenger").animator is versions[1].animator


def test_a_bundle_is_found_by_its_id(replica, published):
    published.publish("first")
    serving = replica()
    serving.turn()
    version = serving.exchange.resolve("champion")
    assert serving.exchange.resolve(version.bundle_id) is version
    assert version.bundle_id in serving.exchange.served()


def test_an_unsigned_version_is_refused_where_signers_are_required(replica, published, tmp_path):
    published.publish("first")
    serving = replica(signers=[str(key_pair(tmp_path / "accepted").public)])
    serving.turn()
    assert serving.exchange.served() == frozenset()
    assert "is not signed, but a signature is required" in serving.status().last_error
    assert str(published.folder) in serving.status().last_error


def rolled_back(serving: Replica) -> tuple[str, str]:
    status = serving.status()
    serving.store.hold("champion", status.desired, status.former, "admin")
    return status.desired, status.former


def test_a_rollback_holds_until_another_version_is_published(replica, published):
    first = published.publish("first")
    serving = replica()
    serving.turn()
    second = published.publish("second")
    serving.turn()
    assert rolled_back(serving) == (second, first)
    for _ in range(2):
        serving.turn()
        assert serving.serves() == first
    assert serving.status().held
    third = published.publish("third")
    serving.turn()
    assert serving.serves() == third
    assert serving.store.holds() == []


def test_a_lifted_rollback_restores_what_the_export_names(replica, published):
    published.publish("first")
    serving = replica()
    serving.turn()
    second = published.publish("second")
    serving.turn()
    rolled_back(serving)
    serving.turn()
    serving.store.lift_hold("champion")
    serving.turn()
    assert serving.serves() == second


def test_replicas_that_start_during_a_rollback_serve_the_version_that_it_names(replica, published):
    first = published.publish("first")
    running = replica("r0")
    running.turn()
    published.publish("second")
    running.turn()
    rolled_back(running)
    running.turn()
    started = replica("r1")
    started.turn()
    assert running.serves() == started.serves() == first


def test_a_rollback_while_the_newest_version_fails_goes_back_one_version_more(replica, published):
    first = published.publish("first")
    serving = replica()
    serving.turn()
    published.publish("second")
    serving.turn()
    published.publish("nan")
    serving.turn()
    rolled_back(serving)
    for _ in range(2):
        serving.turn()
        assert serving.serves() == first


def test_a_rollback_needs_neither_a_look_nor_the_location(replica, published):
    first = published.publish("first")
    serving = replica()
    serving.turn()
    published.publish("second")
    serving.turn()
    rolled_back(serving)
    published.point("champion", b"{")
    serving.follow_holds()
    assert serving.serves() == first
    serving.turn()
    assert serving.serves() == first


def test_a_rollback_during_a_look_is_not_undone_by_it(replica, published, monkeypatch):
    first = published.publish("first")
    serving = replica()
    serving.turn()
    published.publish("second")
    serving.turn()
    pointer = Location.pointer

    def slow(location, name):
        found = pointer(location, name)
        if name == "champion":
            rolled_back(serving)
            serving.follow_holds()
            assert serving.serves() == first
        return found

    monkeypatch.setattr(Location, "pointer", slow)
    serving.turn()
    assert serving.serves() == first


def test_models_that_do_not_fit_the_device_together_are_served_in_turn(replica, published, monkeypatch):
    published.publish("first")
    serving = replica()
    serving.turn()
    there = {serving.exchange.resolve("champion").animator}
    move = Animator.to

    def to(animator, device):
        if device == "cpu":
            there.discard(animator)
        elif there - {animator}:
            raise torch.OutOfMemoryError("CUDA out of memory")
        else:
            there.add(animator)
        return move(animator, "cpu")

    monkeypatch.setattr(Animator, "to", to)
    monkeypatch.setattr(serving.exchange._swapper, "_device", "cuda")
    challenger = published.publish("second", "challenger")
    serving.turn()
    for name in ("champion", "challenger", "champion"):
        assert serving.exchange.resolve(name).animator in there
    assert serving.serves("challenger") == challenger
    later = published.publish("third")
    serving.turn()
    assert serving.serves() == later


def test_a_replica_that_starts_during_a_rollback_needs_no_location(replica, published):
    first = published.publish("first")
    running = replica("r0")
    running.turn()
    published.export().remove_tree("")
    published.publish("second")
    running.turn()
    rolled_back(running)
    started = replica("r1")
    started.turn()
    assert started.serves() == first
    published.point("champion", b"{")
    later = replica("r2")
    later.turn()
    assert later.serves() == first


def test_a_replica_serves_nothing_before_it_knows_the_rollbacks(replica, published, monkeypatch):
    published.publish("first")
    serving = replica()

    def fails() -> None:
        raise JobStoreError("no answer")

    with monkeypatch.context() as outage:
        outage.setattr(serving.store, "holds", fails)
        serving.turn()
        assert serving.exchange.served() == frozenset()
    serving.turn()
    assert "champion" in serving.exchange.served()


def test_a_file_that_is_restored_is_picked_up(replica, published, monkeypatch):
    monkeypatch.setattr(slot, "_FIRST_PAUSE_S", 0.0)
    serving = replica()
    damaged = published.publish("first")
    flip_byte(published.export(), "bundle/model.safetensors")
    serving.turn()
    assert serving.exchange.served() == frozenset()
    flip_byte(published.export(), "bundle/model.safetensors")
    serving.turn()
    assert serving.serves() == damaged


def test_a_bundle_that_was_served_before_is_found_by_its_id(replica, published):
    first = published.publish("first")
    serving = replica()
    serving.turn()
    former = serving.exchange.resolve("champion").bundle_id
    published.publish("second")
    serving.turn()
    assert serving.serves(former) == first
    assert former in serving.exchange.served()


def test_deployments_are_in_the_ledger_once_it_answers(tmp_path, replica, monkeypatch):
    monkeypatch.setattr(deployments, "_FIRST_PAUSE_S", 0.05)
    workspace = champion(tmp_path)
    export_to(tmp_path / "exports", workspace)
    away = workspace.root.rename(tmp_path / "away")
    serving = replica(ledger=str(workspace.root), poll_seconds=0.05)
    serving.exchange.start()
    try:
        wait_until(lambda: serving.exchange.between_jobs() or serving.exchange.served())
        wait_until(lambda: serving.exchange._deployments.problem)
        assert "not in the ledger" in serving.exchange._deployments.problem
        away.rename(workspace.root)
        deployed = wait_until(
            lambda: [each for each in workspace.ledger.entries() if each.kind == "deployed"]
        )
    finally:
        serving.exchange.close()
    (entry,) = deployed
    assert (entry.actor, entry.location) == ("serving", "http://127.0.0.1:8000/v1/models/champion")
