"""Tasks: bounded in number, taken when there is a free worker, and errors of one line."""

import functools
import sys
from collections.abc import Callable, Iterator

import pytest
import ray
from ray import cloudpickle

from core.errors import AnimaticError
from pipelines.cluster.tasks import run_tasks

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


def square(number: int) -> int:
    return number**2


def fail_without_a_message() -> int:
    raise MemoryError


def test_every_result_is_returned_with_its_unit_and_time() -> None:
    tasks = ((unit, functools.partial(square, unit)) for unit in range(5))
    finished = list(run_tasks(tasks, workers=2, address=None))
    assert {done.unit: done.result for done in finished} == {unit: unit**2 for unit in range(5)}
    assert all(done.seconds >= 0 for done in finished)


def test_no_more_tasks_are_taken_than_workers() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[tuple[int, Callable[[], int]]]:
        for unit in range(6):
            taken.append(unit)
            yield unit, functools.partial(square, unit)

    for finished, _ in enumerate(run_tasks(tasks(), workers=2, address=None), start=1):
        assert len(taken) <= finished + 2


def test_ray_is_not_started_without_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    assert list(run_tasks((), workers=1, address=None)) == []


def test_a_unit_that_fails_without_a_message_is_reported_by_its_error() -> None:
    with pytest.raises(AnimaticError, match=r"^unit 3 failed \(MemoryError\); finished units are kept"):
        list(run_tasks([(3, fail_without_a_message)], workers=1, address=None))
