"""Videos of the next rows, downloaded while the ones before them are decoded."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

from core.errors import RejectedError
from pipelines.fetch.access import WebAccess
from pipelines.fetch.download import Fetched
from pipelines.fetch.fetcher import Fetcher
from pipelines.fetch.policy import FetchPolicy
from pipelines.sources import SourceRow


@contextlib.contextmanager
def fetched_ahead(
    rows: list[SourceRow],
    videos: str | None,
    scratch: Path,
    policy: FetchPolicy,
    access: WebAccess | None = None,
) -> Iterator[Iterator[Future[Fetched]]]:
    """An iterator over the file of every row, as a finished future, in the order of the rows.

    A future raises RejectedError if the row has a problem or no file. Each downloaded file is deleted when
    the next one is requested. At most ``policy.ahead`` files wait, and no download is started while
    ``policy.ahead_bytes`` wait. ``access``: see :class:`Fetcher`.
    """
    files = [scratch / f"source-{number}" for number in range(policy.ahead + 1)]
    with Fetcher(policy, lambda: _bytes(files), access=access) as fetcher:
        yield _in_order(rows, videos, files, fetcher)


def _in_order(
    rows: list[SourceRow], videos: str | None, files: list[Path], fetcher: Fetcher
) -> Iterator[Future[Fetched]]:
    waiting: deque[Future[Fetched]] = deque()
    started = 0
    for number in range(len(rows)):
        while started < min(len(rows), number + len(files)):
            waiting.append(_start(rows[started], videos, files[started % len(files)], fetcher))
            started += 1
        wait([waiting[0]])
        yield waiting.popleft()
        files[number % len(files)].unlink(missing_ok=True)


def _start(row: SourceRow, videos: str | None, into: Path, fetcher: Fetcher) -> Future[Fetched]:
    try:
        if row.problem is not None:
            raise RejectedError(row.problem, row.detail)
        return fetcher.submit(row.candidates(videos), into, row.missing(videos))
    except RejectedError as error:
        rejected: Future[Fetched] = Future()
        rejected.set_exception(error)
        return rejected


def _bytes(files: list[Path]) -> int:
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            total += file.stat().st_size
    return total
