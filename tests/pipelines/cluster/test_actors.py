"""Actors: the driver gets every result once, also if processes die, and errors are one line."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import ray
from ray import cloudpickle

from core.errors import AnimaticError
from pipelines.cluster.actors import run_dependent, run_on_actors

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


class Squarer:
    """Squares numbers; the process that first gets the deadly one does not survive it."""

    def __init__(self, deadly: int, marker: Path) -> None:
        self._deadly, self._marker = deadly, marker
        self._loaded = False

    def ready(self) -> None:
        self._loaded = True

    def make(self, number: int) -> tuple[int, bool]:
        if number < 0:
            raise AnimaticError(f"{number} is negative: square something else")
        if number == self._deadly and not self._marker.exists():
            if self._marker.parent.exists():
                self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2, self._loaded


def test_the_task_of_a_killed_actor_is_done_again(tmp_path):
    made = list(run_on_actors(Squarer, (5, tmp_path / "died"), range(12), workers=2))
    assert (tmp_path / "died").exists()
    assert sorted(square for square, _ in made) == [number**2 for number in range(12)]
    # A restarted actor may get later tasks too.
    assert all(loaded for square, loaded in made if square < 25)


class Waiter:
    """Its task 0 waits for a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def ready(self) -> None:
        """Has nothing to load."""

    def make(self, number: int) -> int:
        while number == 0 and not self._file.exists():
            time.sleep(0.05)
        return number


def test_an_actor_without_another_task_leaves_its_processor_to_one_whose_node_was_lost(tmp_path):
    results = run_on_actors(Waiter, (tmp_path / "go",), [0, 1], workers=2)
    assert next(results) == 1
    others = ray.cluster_resources()["CPU"] - 1
    assert ray.get(ray.remote(num_cpus=others)(lambda: True).remote(), timeout=60)
    (tmp_path / "go").touch()
    assert list(results) == [0]


def test_a_task_that_kills_every_actor_is_reported_in_one_line(tmp_path):
    with pytest.raises(AnimaticError, match=r"^a worker process died 4 times over the same task"):
        list(run_on_actors(Squarer, (5, tmp_path / "missing" / "died"), [5], workers=1))


def test_no_tasks_give_no_results(tmp_path):
    assert list(run_on_actors(Squarer, (0, tmp_path), (), workers=2)) == []


def test_an_error_of_a_worker_keeps_its_message(tmp_path):
    with pytest.raises(AnimaticError, match=r"^-3 is negative: square something else$"):
        list(run_on_actors(Squarer, (0, tmp_path), [-3], workers=1))


class Adder:
    """Adds two numbers, the results of other tasks."""

    def ready(self) -> None:
        """Has nothing to load."""

    def make(self, pair: tuple[int, int]) -> int:
        time.sleep(0.01)
        return sum(pair)


@pytest.mark.parametrize("workers", [0, 3])
def test_a_task_that_needs_a_result_waits_for_it(workers: int) -> None:
    waiting = list(range(1, 17))
    results = list[int]()

    def next_task() -> tuple[int, int] | None:
        return (waiting.pop(), waiting.pop()) if len(waiting) > 1 else None

    def done(result: int) -> None:
        results.append(result)
        waiting.append(result)

    run_dependent(Adder, (), next_task, done, workers=workers)
    assert waiting == [sum(range(1, 17))]
    assert len(results) == 15


def test_an_error_of_a_dependent_task_is_one_line(tmp_path: Path) -> None:
    tasks = [3, -3]
    with pytest.raises(AnimaticError, match=r"^-3 is negative: square something else$"):
        run_dependent(
            Squarer,
            (0, tmp_path),
            lambda: tasks.pop() if tasks else None,
            lambda result: None,
            workers=1,
        )
