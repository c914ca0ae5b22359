"""Copies the records of a run to its folder in a store while it trains, and its bundle at the end.

A thread of the first process does so. Whatever the store does, training goes on: an outage is a warning, and
what is missing follows when the store answers again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import last_line
from core.fencing import SupersededError, Token
from core.retry import RetryPolicy
from core.storage import StoreError
from models.bundle import INFO
from training.config import RunConfig
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.upload.folder import RemoteFolder
from training.upload.parts import GrowingFile
from training.upload.writers import Writers

logger = logging.getLogger(__name__)

EVERY_S, LOGS_EVERY_S = 30.0, 300.0
# Of one operation while the run goes on: the next round tries again.
OPERATION_S = 20.0
# For what is missing where the run is stopped: its processors may be withdrawn soon.
STOP_S = 30.0
_LONGEST_PAUSE_S = 300.0


class Upload:
    """Brings the folder in the store up to date with the run folder, checkpoints left out."""

    def __init__(self, folder: RunFolder, remote: RemoteFolder, launch: int) -> None:
        """``launch``: the number that this run has in the store: see :class:`Writers`."""
        self._folder, self._remote, self._launch = folder, remote, launch
        self._writers = Writers(remote)
        self._growing: dict[str, GrowingFile] = {}
        self._stored: dict[str, tuple[int, int]] = {}  # size and time of change of what the store has
        self._listed = False
        self._logs_at = float("-inf")

    def flush(self, *, last: bool = False) -> None:
        """Upload what has changed.

        Args:
            last: upload the logs too, whenever that was done before.

        Raises SupersededError where a later launch writes there, StoreError, and OSError of the local disk.
        """
        self._writers.check(self._launch)
        self._grow("journal.jsonl", self._folder.journal)
        for name, path in self._small_files():
            self._put(name, path)
        if last or time.monotonic() - self._logs_at >= LOGS_EVERY_S:
            for path in sorted(self._folder.logs.glob("*.log")):
                self._grow(f"logs/{path.name}", path)
            self._logs_at = time.monotonic()
        self._put_bundle()

    def _small_files(self) -> Iterator[tuple[str, Path]]:
        """Files that are replaced as a whole, or never change, by their names in the store."""
        folder = self._folder
        single = (folder.config, folder.environment, folder.tracking_id)
        samples = sorted(folder.samples.glob("[!.]*")) if folder.samples.is_dir() else []
        for path in (*single, *samples):
            if path.is_file():
                yield str(path.relative_to(folder.path)), path

    def _grow(self, name: str, path: Path) -> None:
        file = self._growing.setdefault(name, GrowingFile(self._remote, name, path, self._launch))
        file.flush()

    def _put(self, name: str, path: Path) -> None:
        found = path.stat()
        state = found.st_size, found.st_mtime_ns
        if self._stored.get(name) == state:
            return
        if name in self._stored or not self._remote.has(name, path):
            self._remote.put(name, path)
        self._stored[name] = state

    def _put_bundle(self) -> None:
        """Its description last: the bundle exists from then on."""
        bundle = self._folder.bundle
        if not (bundle / INFO).is_file():
            return
        files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != INFO)
        for path in [*files, bundle / INFO]:
            self._put(str(path.relative_to(self._folder.path)), path)


class RunFiles:
    """While entered, uploads every half minute, in a thread; at the end once more, with a bounded wait."""

    def __init__(self, upload: Upload, remote: RemoteFolder, token: Token, patience_s: float) -> None:
        """
        Args:
            token: of this attempt, which uploads nothing more once a later one has begun.
            patience_s: for what is missing at the end of a finished run.
        """
        self._upload, self._remote, self._token, self._patience_s = upload, remote, token, patience_s
        self._stop = threading.Event()
        self._ending_s = STOP_S
        self._notices: list[str] = []
        self._failing = self._superseded = False
        self._thread = threading.Thread(target=self._work, name="upload of the run's files", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._ending_s = max(self._patience_s, STOP_S)
        elif self._failing:
            # The checkpoint has waited for this store already: one attempt, within a scheduler's warning.
            self._ending_s = 0.0
        self._stop.set()
        # Longer than the pauses of the last attempts add up to: each takes its time too.
        self._thread.join(self._ending_s + 2 * OPERATION_S)
        for notice in self.notices():
            logger.warning("%s", notice)
        if self._thread.is_alive():
            logger.warning("%s lacks the end of the run's records: its store does not answer", self._remote)

    def notices(self) -> list[str]:
        """What is to be recorded since the last call, by the main thread: an outage, and its end."""
        found, self._notices = self._notices, []
        return found

    def _work(self) -> None:
        pause = EVERY_S
        while not self._stop.wait(pause):
            pause = EVERY_S if self._attempted() else min(2 * pause, _LONGEST_PAUSE_S)
            if self._superseded:
                return
        last = RetryPolicy(
            attempts=None,
            pause_s=1.0,
            on=(_IncompleteError,),
            most_pause_s=OPERATION_S,
            patience_s=self._ending_s,
        )
        with suppress(_IncompleteError):  # which is among the notices
            last.call(self._end)

    def _end(self) -> None:
        if not self._attempted(last=True) and not self._superseded:
            raise _IncompleteError

    def _attempted(self, *, last: bool = False) -> bool:
        """Whether everything is uploaded, or a later run does so."""
        try:
            if not self._token.holds():
                self._superseded = True
                return True
            self._upload.flush(last=last)
        except SupersededError as error:
            self._superseded = True
            self._notices.append(f"{error}: this run uploads nothing more")
            return True
        except Exception as error:
            # Whatever it is, training goes on.
            if not self._failing:
                self._notices.append(
                    f"the run's records do not reach {self._remote}: {last_line(error)}; training goes on, "
                    "and they follow once the store takes them"
                )
            self._failing = True
            logger.warning("upload to %s: %s", self._remote, error, exc_info=not _expected(error))
            return False
        if self._failing:
            self._notices.append(f"the run's records reach {self._remote} again")
        self._failing = False
        return True


@contextmanager
def uploading(
    config: RunConfig, folder: RunFolder, group: ProcessGroup, token: Token
) -> Iterator[Callable[[], list[str]]]:
    """While entered, the first process of a run with ``upload.url`` uploads its records, and at the end its
    bundle. Yields :meth:`RunFiles.notices`."""
    if config.upload.url is None or not group.is_first:
        yield list
        return
    remote = RemoteFolder(config.upload.url, OPERATION_S)
    upload = Upload(folder, remote, token.number.launch)
    with RunFiles(upload, remote, token, config.upload.patience_s) as files:
        yield files.notices


class _IncompleteError(Exception):
    """Something was not uploaded."""


def _expected(error: Exception) -> bool:
    return isinstance(error, StoreError | OSError)
