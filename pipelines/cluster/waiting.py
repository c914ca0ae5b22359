"""What a job waits for whose work does not start, because other work has the cluster's processors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import ray

log = logging.getLogger(__name__)

NOTICE_S = 10.0  # after which it is reported


class StartNotice:
    """Waits for the first results of a job; reports once what it waits for if nothing of it has started."""

    def __init__(self, what: str, asked: Mapping[str, float], has_started: Callable[[], bool]) -> None:
        """Report nothing yet.

        Args:
            what: needs the processors, as ``a worker``.
            asked: processors by Ray's name of their kind.
        """
        self._what, self._asked, self._has_started = what, asked, has_started
        self._settled = False

    def first(self, references: list[Any]) -> Any:
        """The first reference that is ready, however long that takes."""
        if not self._settled:
            finished, _ = ray.wait(references, timeout=NOTICE_S)
            if not finished and not self._has_started():
                log.warning(shortage(self._what, self._asked))
            self._settled = True
            if finished:
                return finished[0]
        finished, _ = ray.wait(references)
        return finished[0]


def shortage(what: str, asked: Mapping[str, float]) -> str:
    """What is asked of the cluster, and what it has, all and free."""
    free, every = ray.available_resources(), ray.cluster_resources()
    needs = " and ".join(_number(count, kind) for kind, count in asked.items())
    has = " and ".join(f"{free.get(kind, 0):g} of {_number(every.get(kind, 0), kind)}" for kind in asked)
    return f"waiting for the Ray cluster: {what} needs {needs}, free are {has}"


def _number(count: float, kind: str) -> str:
    return f"{count:g} {kind}" if count == 1 else f"{count:g} {kind}s"
