"""Videos of the next rows, on their way while the ones before them are decoded."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from pipelines.fetch import Fetched, Fetcher, FetchPolicy
from pipelines.rejection import RejectedError
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
    with Fetcher(policy) as fetcher:
        yield _in_order(rows, videos, scratch, fetcher, policy)


def _in_order(
    rows: list[SourceRow], videos: str | None, scratch: Path, fetcher: Fetcher, policy: FetchPolicy
) -> Iterator[Source]:
    waiting: deque[Future[Fetched] | RejectedError] = deque()
    files = [scratch / f"source-{place}" for place in range(policy.ahead + 1)]
    begun = 0
    for place in range(len(rows)):
        while begun < len(rows) and (
            begun <= place or (begun < place + len(files) and _bytes(files) < policy.ahead_bytes)
        ):
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
    return sum(file.stat().st_size for file in files if file.exists())
