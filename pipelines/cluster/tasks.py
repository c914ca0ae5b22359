"""Independent units of work as Ray tasks: bounded in number, retried where a node is lost."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists, _internal_kv_put

from core.errors import AnimaticError, last_line
from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.waiting import StartNotice

# A unit is tried again when its worker or node is lost; machines on the spot market are lost often.
UNIT_RETRIES = 10

R = TypeVar("R")


@dataclass(frozen=True)
class FinishedUnit(Generic[R]):
    """What the work on a unit returned, and the seconds that it took its worker."""

    unit: int
    seconds: float
    result: R


def run_tasks(
    tasks: Iterable[tuple[int, Callable[[], R]]], *, workers: int | None, address: str | None
) -> Iterator[FinishedUnit[R]]:
    """Do the work of each (unit, work), never more than ``workers`` at once; yields results as they come.

    A task is taken from ``tasks`` only when a worker is free for it: memory depends on ``workers`` alone
    (None: every CPU of the cluster). Ray is started for the first task. Raises AnimaticError if a unit fails.
    """
    running, remote, job = dict[Any, int](), None, f"animatic-{secrets.token_hex(8)}"
    notice = StartNotice("a unit", {"CPU": 1.0}, lambda: bool(_internal_kv_exists(job)))
    try:
        for unit, work in tasks:
            if remote is None:
                ensure_ray(address)
                remote = ray.remote(num_cpus=1, max_retries=UNIT_RETRIES)(_timed)
            running[remote.remote(job, work)] = unit
            while len(running) >= (workers or _cpus()):
                yield _next_finished(running, notice)
        while running:
            yield _next_finished(running, notice)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if remote is not None and ray.is_initialized():
            with contextlib.suppress(ray.exceptions.RpcError):  # the cluster is lost
                _internal_kv_del(job)


def _timed(job: str, work: Callable[[], R]) -> tuple[float, R]:
    """What a worker runs: the work, and the seconds it took. That work of the job has begun is recorded."""
    _internal_kv_put(job, b"begun")
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def _cpus() -> int:
    """CPUs of the cluster now: nodes come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _next_finished(running: dict[Any, int], notice: StartNotice) -> FinishedUnit[Any]:
    """The first unit to finish, which is removed from ``running`` (unit by reference)."""
    finished = notice.first(list(running))
    unit = running.pop(finished)
    try:
        return FinishedUnit(unit, *ray.get(finished))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        message = f": {last_line(cause)}" if str(cause).strip() else ""
        raise AnimaticError(
            f"unit {unit} failed ({type(cause).__name__}{message}); "
            "finished units are kept: fix the cause and rerun"
        ) from error
