"""A fixed set of Ray actors that work through tasks; what each of them holds is loaded once."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from core.errors import AnimaticError, last_line
from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.forking import import_for_workers
from pipelines.cluster.waiting import StartNotice

log = logging.getLogger(__name__)

TASK_RETRIES = 3  # of one task whose actor died

T = TypeVar("T")
R = TypeVar("R")
Task = TypeVar("Task", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Worker(Protocol[Task, Result]):
    """What runs in an actor. Its constructor must be cheap: what is large is loaded when first needed."""

    def ready(self) -> None:
        """Load what the tasks need."""
        ...

    def make(self, task: Task, /) -> Result:
        """Do one task; called again elsewhere if this process or its node is lost."""
        ...


def run_on_actors(
    worker: Callable[..., Worker[T, R]],
    arguments: tuple[object, ...],
    tasks: Iterable[T],
    *,
    workers: int,
    gpus_per_worker: float = 0,
    address: str | None = None,
) -> Iterator[R]:
    """Have up to ``workers`` actors do the tasks; yields results as they come, in any order.

    A task is taken from ``tasks`` only when an actor is free for it. An actor that dies is started again, on
    another node if its own is gone.

    Args:
        worker: class of the actors, built from ``arguments``.
        workers: 0 does the tasks in this process, without Ray.

    Raises:
        AnimaticError: that a worker raised, or if one does not start or dies on every attempt.
    """
    if not workers:
        own = worker(*arguments)
        yield from (own.make(task) for task in tasks)
        return
    with _started(worker, arguments, workers, gpus_per_worker, address) as (actors, notice):
        yield from _results(actors, iter(tasks), notice)


def run_dependent(
    worker: Callable[..., Worker[T, R]],
    arguments: tuple[object, ...],
    next_task: Callable[[], T | None],
    done: Callable[[R], None],
    *,
    workers: int,
    gpus_per_worker: float = 0,
    address: str | None = None,
) -> None:
    """Have up to ``workers`` actors do tasks that depend on the results of others.

    Args:
        worker, arguments, workers, gpus_per_worker, address: as of :func:`run_on_actors`.
        next_task: a task that can be done now; None if there is none before a further result. It ends when
            there is none and no task is being done.
        done: gets each result before ``next_task`` is called again.

    Raises:
        AnimaticError: that a worker raised, or if one does not start or dies on every attempt.
    """
    if not workers:
        own = worker(*arguments)
        while (task := next_task()) is not None:
            done(own.make(task))
        return
    with _started(worker, arguments, workers, gpus_per_worker, address) as (actors, notice):
        starting = {actor.ready.remote(): actor for actor in actors}
        running, idle = dict[Any, Any](), list[Any]()
        while True:
            while idle and (task := next_task()) is not None:
                actor = idle.pop()
                running[actor.make.remote(task)] = actor
            if idle and not running:
                return
            finished = notice.first([*running, *starting])
            if finished in starting:
                idle.append(starting.pop(finished))
                _result(finished)
            else:
                idle.append(running.pop(finished))
                done(_result(finished))


@contextlib.contextmanager
def _started(
    worker: Callable[..., Worker[T, R]],
    arguments: tuple[object, ...],
    workers: int,
    gpus_per_worker: float,
    address: str | None,
) -> Iterator[tuple[list[Any], StartNotice]]:
    """The actors, and what reports that they do not start; they are killed when the block ends."""
    import_for_workers("torch")
    ensure_ray(address, workers)
    if ray.cluster_resources().get("GPU", 0) < gpus_per_worker:
        log.warning("waiting for a GPU: the Ray cluster has none; ask for none to use the CPU")
    remote = ray.remote(num_cpus=1, num_gpus=gpus_per_worker, max_restarts=-1, max_task_retries=TASK_RETRIES)(
        worker
    )
    actors = [remote.remote(*arguments) for _ in range(workers)]
    asked = {"CPU": 1.0, **({"GPU": gpus_per_worker} if gpus_per_worker else {})}
    try:
        yield actors, StartNotice("a worker", asked, _has_started(actors))
    finally:
        for actor in actors:
            ray.kill(actor)


def _results(actors: list[Any], tasks: Iterator[object], notice: StartNotice) -> Iterator[Any]:
    """Results of the tasks, each done by the actor that was free first."""
    # An actor gets a task only once it is ready: one that waits for resources delays nothing.
    starting = {actor.ready.remote(): actor for actor in actors}
    running: dict[Any, Any] = {}
    task = next(tasks, None)
    while task is not None or running:
        finished = notice.first([*running, *(starting if task is not None else ())])
        actor = running.pop(finished, None)
        started = actor is None
        actor = starting.pop(finished) if started else actor
        result = _result(finished)
        if task is not None:
            running[actor.make.remote(task)] = actor
            task = next(tasks, None)
            idle = [] if task is not None else list(starting.values())
        else:
            idle = [actor]
        for actor in idle:
            # An actor whose node was lost, with its task, may need this processor to start again.
            ray.kill(actor)
        if not started:
            yield result


def _has_started(actors: list[Any]) -> Callable[[], bool]:
    """Whether any actor has a process, though it may still load what it needs."""
    created = [actor.__ray_ready__.remote() for actor in actors]
    return lambda: bool(ray.wait(created, timeout=0)[0])


def _result(finished: Any) -> Any:
    try:
        return ray.get(finished)
    except RayTaskError as error:
        # Ray wraps what the actor raised in a traceback of many lines.
        if isinstance(error.cause, AnimaticError):
            raise AnimaticError(str(error.cause)) from error
        raise
    except ActorUnavailableError as error:
        raise AnimaticError(
            f"a worker process died {TASK_RETRIES + 1} times over the same task (out of memory?): "
            "finished tasks are kept; fix the cause and rerun"
        ) from error
    except RayActorError as error:
        raise AnimaticError(f"a worker does not start or was lost for good ({last_line(error)})") from error
