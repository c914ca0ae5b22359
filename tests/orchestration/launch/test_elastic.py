"""How many workers an elastic run starts with, whatever becomes of the nodes meanwhile."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest

from core.errors import AnimaticError
from orchestration.launch import elastic
from orchestration.launch.elastic import SETTLE_S, ElasticWorkers
from orchestration.launch.resources import Wanted
from tests.support.training_jobs import small_config
from training.control import StoppedBySignal

CONFIG = small_config(
    0, "train.global_batch=12", "launch.workers=6", "launch.min_workers=2", "launch.wait_s=100"
)


class Cluster:
    """Free processors by node at each look, which is half a second after the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: Mapping[str, int]) -> None:
        self.clock, self.silent, self.reported = 0.0, set[str](), list[str]()
        self._looks: Iterator[Mapping[str, int]] = iter(looks)
        self._newest: Mapping[str, int] = {}
        monkeypatch.setattr(
            elastic,
            "time",
            SimpleNamespace(monotonic=lambda: self.clock, sleep=self._sleep),
        )
        monkeypatch.setattr(elastic, "free_processors", self._free)
        monkeypatch.setattr(elastic, "answering_nodes", lambda nodes: set(nodes) - self.silent)
        monkeypatch.setattr(Wanted, "waiting", lambda _: "waiting for nodes to join")
        monkeypatch.setattr(Wanted, "given_up", lambda _, seconds: f"given up after {seconds:.0f} s")

    def choose(self) -> int:
        workers = ElasticWorkers(CONFIG, Wanted.of(CONFIG), self.reported.append)
        return workers.choose(lambda: None)

    def _sleep(self, seconds: float) -> None:
        self.clock += seconds

    def _free(self, kind: str) -> dict[str, int]:
        assert kind == "CPU"
        self._newest = next(self._looks, self._newest)
        return dict(self._newest)


def test_with_processors_for_all_it_starts_at_once(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 4, "b": 4})
    assert (cluster.choose(), cluster.clock) == (6, 0.0)


def test_with_fewer_it_takes_the_most_that_share_the_batch_once_none_is_returned_any_more(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 2}, {"a": 4, "b": 1})
    assert (cluster.choose(), cluster.clock) == (4, SETTLE_S)


def test_processors_that_are_returned_meanwhile_are_used(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 3}, {"a": 3}, {"a": 3, "b": 3})
    assert (cluster.choose(), cluster.clock) == (6, 1.0)


def test_a_node_that_no_longer_answers_is_left_out_though_ray_lists_it(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 3, "b": 3})
    cluster.silent.add("b")
    assert cluster.choose() == 3


def test_a_run_waits_for_its_fewest_workers_reports_it_and_gives_up(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 1})
    with pytest.raises(AnimaticError, match=r"given up after 10[01] s"):
        cluster.choose()
    assert cluster.reported[0] == "waiting for nodes to join, for 30 s"


def test_a_signal_ends_the_wait(monkeypatch):
    cluster = Cluster(monkeypatch, {"a": 1})

    def check() -> None:
        if cluster.clock > 3:
            raise StoppedBySignal(15, None)

    with pytest.raises(StoppedBySignal):
        ElasticWorkers(CONFIG, Wanted.of(CONFIG), print).choose(check)
