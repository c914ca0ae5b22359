"""Videos of the next rows, on their way while the ones before them are decoded."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

from core.errors import RejectedError
from pipelines.fetch.fetcher import Fetched, Fetcher, FetchPolicy
from pipelines.sources import SourceRow


@contextlib.contextmanager
def fetched_ahead(
    rows: list[SourceRow], videos: str | None, scratch: Path, policy: FetchPolicy
) -> Iterator[Iterator[Future[Fetched]]]:
    """An iterator over the file of every row, as a finished future, in the order of the rows.

    A future raises RejectedError where a row has a problem or no file. Each file that was downloaded is
    deleted when the next one is asked for. At most ``policy.ahead`` wait, and none is begun while
    ``policy.ahead_bytes`` wait.
    """
    files = [scratch / f"source-{number}" for number in range(policy.ahead + 1)]
    with Fetcher(policy, lambda: _bytes(files)) as fetcher:
        yield _in_order(rows, videos, files, fetcher)


def _in_order(
    rows: list[SourceRow], videos: str | None, files: list[Path], fetcher: Fetcher
) -> Iterator[Future[Fetched]]:
    waiting: deque[Future[Fetched]] = deque()
    begun = 0
    for number in range(len(rows)):
        while begun < min(len(rows), number + len(files)):
            waiting.append(_begin(rows[begun], videos, files[begun % len(files)], fetcher))
            begun += 1
        wait([waiting[0]])
        yield waiting.popleft()
        files[number % len(files)].unlink(missing_ok=True)


def _begin(row: SourceRow, videos: str | None, into: Path, fetcher: Fetcher) -> Future[Fetched]:
    try:
        if row.problem is not None:
            raise RejectedError(row.problem)
        return fetcher.submit(row.candidates(videos), into)
    except RejectedError as error:
        rejected: Future[Fetched] = Future()
        rejected.set_exception(error)
        return rejected


def _bytes(files: list[Path]) -> int:
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # the one in use goes when the next is asked for
            total += file.stat().st_size
    return total
