"""Reports of replicas, rollbacks in force, and counters."""

from __future__ import annotations

from orchestration.serving.counters import Sample
from orchestration.serving.jobs import JobStore
from tests.support.job_stores import Clock, report, serving


def test_report_is_live_until_it_is_old(store: JobStore, clock: Clock) -> None:
    status = serving("champion", since=clock.now)
    report(store, status)
    clock.forward(10)
    report(store, replica="r2")
    clock.forward(10)
    first, second = store.replicas()
    assert (first.replica, first.live, first.models) == ("r1", False, (status,))
    assert (second.replica, second.live) == ("r2", True)
    report(store)
    assert [(each.live, each.models) for each in store.replicas()] == [(True, ()), (True, ())]


def test_replica_that_stopped_is_forgotten_and_one_that_was_lost_later(store: JobStore, clock: Clock) -> None:
    report(store, replica="r1")
    report(store, replica="r2")
    store.forget("r2")
    assert [each.replica for each in store.replicas()] == ["r1"]
    clock.forward(3601)
    report(store, replica="r3")
    assert [each.replica for each in store.replicas()] == ["r3"]


def test_hold_replaces_the_former_one_of_its_model_and_is_lifted(store: JobStore) -> None:
    store.hold("champion", "a" * 64, "b" * 64, "ann")
    held = store.hold("champion", "c" * 64, "b" * 64, "bob")
    other = store.hold("challenger", "a" * 64, "b" * 64, "ann")
    assert store.holds() == [other, held]
    assert not store.lift_hold("champion", "a" * 64)
    assert store.lift_hold("champion", "c" * 64)
    assert store.lift_hold("challenger")
    assert not store.lift_hold("challenger")
    assert store.holds() == []


def test_counters_add_up_and_survive_a_restart(database_url: str) -> None:
    first, second = Sample("clips_total", ("champion", 'a"b,c')), Sample("clips_total")
    for number in (1.0, 2.5):
        store = JobStore(database_url)
        store.count({first: number, second: 1})
        store.count({})
        store.close()
    store = JobStore(database_url)
    assert store.counters() == {first: 3.5, second: 2}
    store.close()
