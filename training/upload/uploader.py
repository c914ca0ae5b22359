"""Uploads checkpoints in a thread, beside training: an outage delays them and never ends the run."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError, last_line
from training.checkpoints import Retention
from training.upload.checkpoints import RemoteCheckpoints

logger = logging.getLogger(__name__)

_LOOK_S = 30.0


@dataclass(frozen=True)
class UploadResult:
    """What became of the upload of a checkpoint.

    Attributes:
        url: of its folder; None where it failed.
        error: what went wrong, in one line: where ``url`` is not None, only old ones were not deleted.
    """

    step: int
    digest: str
    seconds: float
    url: str | None
    error: str | None


@dataclass(frozen=True)
class _Order:
    step: int
    path: Path
    digest: str


class CheckpointUploader:
    """Uploads the newest checkpoint that it was given: one that waits is replaced by a later one.

    Its thread begins with the first checkpoint, and does not keep the process from ending.

    Attributes:
        checkpoints: those in the remote folder.
    """

    def __init__(
        self,
        checkpoints: RemoteCheckpoints,
        retention: Retention,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            retention: of checkpoints in the remote folder.
            before_commit: called before anything becomes visible or is deleted; raises AnimaticError where
                this run must not write there any more.
        """
        self.checkpoints = checkpoints
        self._retention, self._before_commit = retention, before_commit
        self._changed = threading.Condition()
        self._waiting: _Order | None = None
        self._current: _Order | None = None
        self._is_void = False  # the current one
        self._void_from: int | None = None
        self._results: list[UploadResult] = []
        self._thread: threading.Thread | None = None

    def submit(self, step: int, path: Path, digest: str) -> None:
        """Upload a checkpoint, in place of one that waits."""
        with self._changed:
            self._waiting = _Order(step, path, digest)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checkpoint upload", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def discard(self, step: int) -> None:
        """Delete checkpoints of ``step`` and later ones before the next upload: the run goes back. One
        of them that waits is not uploaded, and one that is being uploaded not completed."""
        with self._changed:
            self._delete_from(step)
            if self._waiting is not None and self._waiting.step >= step:
                self._waiting = None
            if self._current is not None and self._current.step >= step:
                self._is_void = True
            self._changed.notify_all()

    def held(self) -> set[Path]:
        """Checkpoints that are being uploaded or wait for it, and must not be deleted."""
        with self._changed:
            return {order.path for order in (self._waiting, self._current) if order is not None}

    def results(self) -> list[UploadResult]:
        """Of the uploads that have ended since the last call."""
        with self._changed:
            results, self._results = self._results, []
        return results

    def finish(self, on_wait: Callable[[], None] = lambda: None, patience_s: float | None = None) -> None:
        """Wait until nothing is left to upload: in an outage as long as uploads are tried again.

        Args:
            on_wait: called again and again meanwhile: the store's own time-outs end an upload that hangs.
            patience_s: for how long what fails is still tried again; None: as ever.
        """
        if patience_s is not None:
            self.checkpoints.limit_patience(patience_s)
        while not self._is_idle(_LOOK_S):
            on_wait()

    def _is_idle(self, timeout_s: float) -> bool:
        """Whether nothing is left to upload, as soon as it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting is None and self._current is None, timeout_s)

    def _work(self) -> None:
        fresh = True
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                order, self._waiting = self._waiting, None
                self._current, self._is_void = order, False
            if order is not None:
                result = self._upload(order, clean=fresh)
                fresh = fresh and result.url is None
                with self._changed:
                    self._results.append(result)
                    self._current = None
                    self._changed.notify_all()

    def _upload(self, order: _Order, *, clean: bool) -> UploadResult:
        """Upload a checkpoint. ``clean``: nothing was uploaded by this process before."""
        began, url, problem = time.monotonic(), None, None
        try:
            if clean:
                self._before_commit()
                self.checkpoints.abort_uploads()
            self._delete_void(order.digest)
            name = self.checkpoints.upload(order.path, lambda: self._check(order))
            url = self.checkpoints.url(name)
            self.checkpoints.delete_old(name, self._retention, lambda: self._check(order))
        except (AnimaticError, OSError) as error:
            problem = last_line(error)
        except Exception as error:  # of the store's library, which must not end the thread
            logger.exception("upload of %s", order.path)
            problem = f"{type(error).__name__}: {last_line(error)}"
        return UploadResult(order.step, order.digest, time.monotonic() - began, url, problem)

    def _check(self, order: _Order) -> None:
        """Raise AnimaticError where the run has gone back behind a checkpoint, or must not write any more."""
        with self._changed:
            is_void = self._is_void
        if is_void:
            raise AnimaticError(f"the run has gone back behind step {order.step} meanwhile")
        self._before_commit()

    def _delete_void(self, digest: str) -> None:
        """Delete what the run went back behind; not the checkpoint with ``digest``, which came later."""
        with self._changed:
            step, self._void_from = self._void_from, None
        if step is None:
            return
        try:
            void = [each for each in self.checkpoints.listed() if each.step >= step]
            self._before_commit()
            for checkpoint in void:
                if checkpoint.digest != digest:
                    self.checkpoints.delete(checkpoint.name)
        except BaseException:
            with self._changed:
                self._delete_from(step)
            raise

    def _delete_from(self, step: int) -> None:
        self._void_from = step if self._void_from is None else min(step, self._void_from)
