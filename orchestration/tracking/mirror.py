"""Delivering a run's journal to trackers without ever delaying the run.

The journal file itself is the queue: each tracker has one thread that reads on from its own offset, so memory
stays bounded and nothing is dropped however long a tracker is unreachable.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from core.signals import SignalExit
from orchestration.tracking.backends import Backend
from orchestration.tracking.feed import Feed, one_line
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.run import TrackedRun

logger = logging.getLogger(__name__)
POLL_S = 2.0
RETRY_FIRST_S = 4.0
RETRY_MOST_S = 120.0
CLOSE_GRACE_S = 30.0


@contextlib.contextmanager
def mirrored(
    run: TrackedRun, backends: Sequence[Backend], on_warning: Callable[[str], None]
) -> Iterator[None]:
    """Mirror a live run to its trackers for the duration of the block, and mark how the block ended.

    ``on_warning`` receives one line if a tracker lacks something at the end.
    """
    mirror = Mirror(run, backends)
    outcome: Outcome = "failed"
    try:
        yield
        outcome = "finished"
    except (KeyboardInterrupt, SignalExit):
        outcome = "interrupted"
        raise
    finally:
        behind = mirror.close(outcome)
        for name, reason in behind.items():
            on_warning(
                f"{name} did not receive everything ({reason}); "
                f"`animatic sync {run.folder}` delivers the rest"
            )


class Mirror:
    """Mirrors a live run to its trackers from the launching process, one daemon thread for each."""

    def __init__(self, run: TrackedRun, backends: Sequence[Backend], poll_s: float = POLL_S) -> None:
        self._stop = threading.Event()
        self._outcome: Outcome = "finished"
        self._poll_s = poll_s
        self._feeds = [Feed(run, backend) for backend in backends]
        self._failing: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(feed,), name=f"mirror-{feed.backend.name}", daemon=True)
            for feed in self._feeds
        ]
        for thread in self._threads:
            thread.start()

    def close(self, outcome: Outcome, grace_s: float = CLOSE_GRACE_S) -> dict[str, str]:
        """Let the trackers catch up for at most ``grace_s`` seconds; the reasons of those that did not."""
        self._outcome = outcome
        self._stop.set()
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        slow = [f.backend.name for f, t in zip(self._feeds, self._threads, strict=True) if t.is_alive()]
        return dict.fromkeys(slow, f"still busy after {grace_s:g} s") | self._failing

    def _work(self, feed: Feed) -> None:
        name, pause = feed.backend.name, RETRY_FIRST_S
        while True:
            ending = self._stop.is_set()
            try:
                while feed.pump():
                    pass
                self._failing.pop(name, None)
                pause = RETRY_FIRST_S
            except Exception as error:
                # A tracker may fail in any way; its failure must not reach the run.
                logger.info("%s failed: %s", name, error, exc_info=True)
                self._failing[name] = one_line(error)
            if ending or (name in self._failing and self._stop.wait(pause)):
                break
            if name in self._failing:
                pause = min(pause * 2, RETRY_MOST_S)
            else:
                self._stop.wait(self._poll_s)
        self._finish(feed)

    def _finish(self, feed: Feed) -> None:
        try:
            feed.close(self._outcome)
        except Exception as error:
            logger.info("%s did not close: %s", feed.backend.name, error, exc_info=True)
            self._failing[feed.backend.name] = one_line(error)
