"""The message of a run that failed: the error that came first, not what followed from it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestration.launch.worker import worker_log


def failure_message(
    errors: Mapping[int, Exception], reported: Sequence[tuple[int, str]], run_dir: Path, attempts: int
) -> str:
    """One line with the cause, the worker and its log.

    A worker that dies takes the connections of the others with it, and one that raises leaves them without
    an answer: their errors are later, and say less.

    Args:
        errors: what Ray knows of each worker, by rank.
        reported: rank and message of what workers raised themselves, the first one first.
    """
    from ray.exceptions import OutOfMemoryError, RayActorError

    dead = {
        rank: error for rank, error in errors.items() if isinstance(error, RayActorError | OutOfMemoryError)
    }
    if dead:
        rank, error = min(dead.items())
        memory = isinstance(error, OutOfMemoryError) or "OutOfMemory" in str(error)
        cause = (
            "Ray ended it, because the memory of its machine ran out"
            if memory
            else "its process was killed, as when memory runs out, or its machine was lost"
        )
    elif reported:
        rank, cause = reported[0]
    else:
        rank, error = min(errors.items())
        cause = last_line(error)
    one_line = " ".join(cause.split())
    log = worker_log(run_dir, rank)
    return f"training failed {attempts} times, last in worker {rank}: {one_line}; see {log}"


def last_line(error: BaseException) -> str:
    """Type and last line of an error, whose text Ray extends by tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
