"""The message of a run that failed: the error that came first, not what followed from it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import last_line
from training.processes.output import worker_log
from training.processes.signs_of_life import Failure


def failure_message(
    errors: Mapping[int, Exception],
    reported: Sequence[Failure],
    run_dir: Path,
    *,
    workers: int,
    attempts: int,
) -> str:
    """One line with the cause, the worker and its log.

    A worker that dies takes the connections of the others with it, and one that raises leaves them without
    an answer: their errors say less.

    Args:
        errors: what Ray knows of each worker, by rank; not always that a worker died.
        reported: what workers raised themselves, the first one first.
    """
    rank, cause = _cause(errors, reported, workers)
    one_line = " ".join(cause.split())
    log = worker_log(run_dir, rank)
    times = f"{attempts} times, last" if attempts > 1 else "once,"
    return f"training failed {times} in worker {rank}: {one_line}; see {log}"


def _cause(errors: Mapping[int, Exception], reported: Sequence[Failure], workers: int) -> tuple[int, str]:
    """The worker that failed first, and why."""
    from ray.exceptions import OutOfMemoryError, RayActorError

    own = next((failure for failure in reported if not failure.lost_peer), None)
    if own is not None:
        return own.rank, own.message
    dead = [rank for rank, error in errors.items() if isinstance(error, RayActorError | OutOfMemoryError)]
    silent = [rank for rank in range(workers) if rank not in {failure.rank for failure in reported}]
    if reported and not dead:
        dead = silent
    if dead:
        rank = min(dead)
        if "OutOfMemory" in f"{type(errors.get(rank)).__name__} {errors.get(rank)}":
            return rank, "Ray ended it, because the memory of its machine ran out"
        return rank, "its process was killed, as when memory runs out, or its machine was lost"
    if reported:
        return reported[0].rank, reported[0].message
    rank, error = min(errors.items())
    return rank, described(error)


def described(error: BaseException) -> str:
    """Type and cause of an error, whose text Ray extends by tracebacks and, without memory, by advice."""
    from ray.exceptions import OutOfMemoryError

    if isinstance(error, OutOfMemoryError):
        return "the memory of a machine ran out"
    name = type(error).__name__
    return f"{name}: {last_line(error)}" if str(error).strip() else name
