"""Videos of the next rows, on their way while the ones before them are decoded."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from core.errors import RejectedError
from pipelines.fetch.fetcher import Fetched, Fetcher, FetchPolicy
from pipelines.sources import SourceRow

Source = Fetched | RejectedError


@contextlib.contextmanager
def fetched_ahead(
    rows: list[SourceRow], videos: str | None, scratch: Path, policy: FetchPolicy
) -> Iterator[Iterator[Source]]:
    """An iterator over the file of every row, or why there is none, in the order of the rows.

    Each file that was downloaded is deleted when the next one is asked for. At most ``policy.ahead`` wait,
    and none is begun while ``policy.ahead_bytes`` wait.
    """
    files = [scratch / f"source-{place}" for place in range(policy.ahead + 1)]
    with Fetcher(policy, lambda: _bytes(files)) as fetcher:
        yield _in_order(rows, videos, files, fetcher)


def _in_order(
    rows: list[SourceRow], videos: str | None, files: list[Path], fetcher: Fetcher
) -> Iterator[Source]:
    waiting: deque[Future[Fetched] | RejectedError] = deque()
    begun = 0
    for place in range(len(rows)):
        while begun < min(len(rows), place + len(files)):
            waiting.append(_begin(rows[begun], videos, files[begun % len(files)], fetcher))
            begun += 1
        yield _result(waiting.popleft())
        files[place % len(files)].unlink(missing_ok=True)


def _begin(
    row: SourceRow, videos: str | None, into: Path, fetcher: Fetcher
) -> Future[Fetched] | RejectedError:
    if row.problem is not None:
        return RejectedError(row.problem)
    try:
        return fetcher.submit(row.candidates(videos), into)
    except RejectedError as error:
        return error


def _result(source: Future[Fetched] | RejectedError) -> Source:
    if isinstance(source, RejectedError):
        return source
    try:
        return source.result()
    except RejectedError as error:
        return error


def _bytes(files: list[Path]) -> int:
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # the one in use goes when the next is asked for
            total += file.stat().st_size
    return total
