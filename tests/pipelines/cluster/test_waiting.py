"""Jobs whose work finds no free processors report it, once; those whose work has begun do not."""

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from ray import cloudpickle
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists

from pipelines.cluster import actors, tasks, waiting
from pipelines.cluster.actors import run_on_actors
from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.tasks import run_tasks

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Holder:
    """Uses processors."""

    def ready(self) -> None:
        """Answers once it has them."""


class Loader:
    """A worker that takes long to load what it needs: until a file exists."""

    def __init__(self, until: Path) -> None:
        self._until = until

    def ready(self) -> None:
        wait_for(self._until.exists)

    def make(self, number: int) -> int:
        return number**2


def square(number: int, until: Path | None = None) -> int:
    if until is not None:
        wait_for(until.exists)
    return number**2


@contextmanager
def reports(react: Callable[[str], None]) -> Iterator[list[str]]:
    """What is reported meanwhile; ``react`` gets each line."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            react(lines[-1])

    handler = Handler()
    waiting.log.addHandler(handler)
    try:
        yield lines
    finally:
        waiting.log.removeHandler(handler)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ray.actor.ActorHandle]:
    """A Ray all of whose CPUs are used by an actor, and their number."""
    ensure_ray()
    cpus = int(ray.cluster_resources()["CPU"])
    wait_for(lambda: ray.available_resources().get("CPU", 0) == cpus)
    holder = ray.remote(num_cpus=cpus)(Holder).remote()
    ray.get(holder.ready.remote())
    wait_for(lambda: ray.available_resources().get("CPU", 0) == 0)  # Ray's figures are late
    monkeypatch.setattr(waiting, "NOTICE_S", 0.2)
    return cpus, holder


def squares_by_tasks(folder: Path) -> list[int]:
    units = ((unit, functools.partial(square, unit)) for unit in range(3))
    return sorted(done.result for done in run_tasks(units, workers=2, address=None))


def squares_by_actors(folder: Path) -> list[int]:
    (folder / "loaded").touch()
    return sorted(run_on_actors(Loader, (folder / "loaded",), range(3), workers=2))


@pytest.mark.parametrize(("squares", "what"), [(squares_by_tasks, "a unit"), (squares_by_actors, "a worker")])
def test_what_a_job_waits_for_is_reported_once(busy, tmp_path, squares, what):
    cpus, holder = busy
    with reports(lambda _: ray.kill(holder)) as lines:
        assert squares(tmp_path) == [0, 1, 4]
    free = f"0 of {cpus} CPU{'' if cpus == 1 else 's'}"
    assert lines == [f"waiting for the Ray cluster: {what} needs 1 CPU, free are {free}"]


def only_asked_once_begun(
    has_begun: Callable[..., object], then: Callable[[], object]
) -> Callable[..., object]:
    """``has_begun``, which is asked until it is true; ``then`` is called before the answer."""

    def ask(*arguments: object) -> object:
        wait_for(lambda: has_begun(*arguments))
        then()
        return has_begun(*arguments)

    return ask


def test_a_unit_that_takes_long_is_no_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "NOTICE_S", 0.05)
    end = tmp_path / "end"
    observed = only_asked_once_begun(tasks._internal_kv_exists, end.touch)
    monkeypatch.setattr(tasks, "_internal_kv_exists", observed)
    with reports(lambda _: None) as lines:
        long = [(0, functools.partial(square, 3, end))]
        assert [done.result for done in run_tasks(long, workers=1, address=None)] == [9]
    assert end.exists() and not lines


def test_a_worker_that_loads_for_long_is_no_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "NOTICE_S", 0.05)
    loaded = tmp_path / "loaded"
    original = actors._has_started
    monkeypatch.setattr(
        actors, "_has_started", lambda made: only_asked_once_begun(original(made), loaded.touch)
    )
    with reports(lambda _: None) as lines:
        assert list(run_on_actors(Loader, (loaded,), [3], workers=1)) == [9]
    assert not lines


def test_nothing_of_a_job_is_left_in_the_cluster(monkeypatch):
    keys: list[str] = []
    monkeypatch.setattr(tasks, "_internal_kv_del", lambda key: keys.append(key) or _internal_kv_del(key))
    done = list(run_tasks([(0, functools.partial(square, 3))], workers=1, address=None))
    assert [unit.result for unit in done] == [9]
    (key,) = keys
    assert not _internal_kv_exists(key)


def test_all_processors_that_are_asked_for_are_named():
    ensure_ray()
    text = waiting.shortage("a worker", {"CPU": 2.0, "GPU": 1.0})
    assert text.startswith("waiting for the Ray cluster: a worker needs 2 CPUs and 1 GPU, free are ")
    assert text.endswith(" and 0 of 0 GPUs")
