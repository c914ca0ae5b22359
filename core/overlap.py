"""Two halves of a job at once: the next item is made while a thread finishes the one before."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def one_behind(finish: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``finish`` of each item, in order, by one thread; meanwhile the caller's thread makes the next item.

    At most two items exist at a time: one that is made, and one that is finished. What is begun is finished
    before this ends, whatever ends it; nothing of an item is begun after an error.

    Raises:
        Exception: of ``items``, after the results of all items before; or of ``finish``.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="animatic-one-behind") as thread:
        former: Future[R] | None = None
        try:
            for item in items:
                if former is not None:
                    done, former = former, None
                    yield done.result()
                former = thread.submit(finish, item)
        except Exception:
            if former is not None:
                yield former.result()
            raise
        if former is not None:
            yield former.result()
