"""Which error of a failed run is reported."""

from collections.abc import Mapping
from pathlib import Path

from ray.exceptions import ActorDiedError, OutOfMemoryError

from orchestration.launch.failures import described, failure_message
from training.processes.signs_of_life import Failure

LOST = RuntimeError("Connection closed by peer")
KILLED = "its process was killed, as when memory runs out, or its machine was lost"


def message(errors: Mapping[int, Exception], *reported: Failure) -> str:
    text = failure_message(errors, reported, Path("/runs/first"), workers=3, attempts=2)
    prefix = "training failed 2 times, last in "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


def lost(rank: int) -> Failure:
    return Failure(rank, "RuntimeError: [gloo/transport] Connection closed by peer", lost_peer=True)


def test_the_error_that_came_first_is_reported_in_one_line():
    own, later = Failure(1, "KeyError:\n  'lost'"), Failure(2, "ValueError: x")
    assert message({0: LOST, 1: LOST}, lost(0), own, later) == (
        "worker 1: KeyError: 'lost'; see /runs/first/logs/rank-1.log"
    )


def test_a_worker_that_died_is_named_instead_of_those_that_lost_its_connection():
    expected = f"worker 2: {KILLED}; see /runs/first/logs/rank-2.log"
    assert message({0: LOST, 2: ActorDiedError()}, lost(0)) == expected


def test_a_worker_whose_death_ray_has_not_noticed_is_the_one_without_an_error():
    assert message({0: LOST, 1: LOST}, lost(1), lost(0)).startswith(f"worker 2: {KILLED}")


def test_a_worker_that_ran_out_of_memory_is_reported_as_that():
    text = message({0: LOST, 1: OutOfMemoryError("Task was killed")}, lost(0))
    assert text.startswith("worker 1: Ray ended it, because the memory of its machine ran out")


def test_a_connection_that_broke_between_living_workers_is_reported_as_that():
    text = message({0: LOST}, lost(1), lost(0), lost(2))
    assert text.startswith("worker 1: RuntimeError: [gloo/transport] Connection closed by peer")


def test_an_error_of_ray_itself_keeps_its_last_line():
    text = message({0: ValueError("Traceback\n  line\nno such thing\n")})
    assert text.startswith("worker 0: ValueError: no such thing; see")


def test_memory_that_ran_out_is_named_without_ray_s_advice():
    advice = "Refer to the documentation on how to address the out of memory issue: https://docs.ray.io."
    assert described(OutOfMemoryError(advice)) == "the memory of a machine ran out"


def test_a_run_that_may_not_restart_failed_once():
    text = failure_message({0: LOST}, [], Path("/runs/first"), workers=1, attempts=1)
    assert text.startswith("training failed once, in worker 0: ")
