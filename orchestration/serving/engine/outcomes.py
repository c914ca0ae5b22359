"""How a job ends on this replica: recorded once, retried through an outage, and void where it was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from core.errors import last_line
from core.retry import RetryPolicy
from orchestration.serving.counters import ENDED, RUN
from orchestration.serving.engine.leases import Leases, RunningJob
from orchestration.serving.engine.tally import Tally
from orchestration.serving.jobs import Clip, JobStore, JobStoreError, LeaseLostError, MadeBy
from orchestration.serving.schema import JobErrorCode

_log = logging.getLogger(__name__)


class Outcomes:
    """Records how jobs ended.

    Whatever happens to the record, the job is discarded from the leases: one that could not be recorded is
    claimed again when its lease ends, by this replica or another.
    """

    def __init__(self, store: JobStore, leases: Leases, tally: Tally, patience_s: float) -> None:
        self._store, self._leases, self._tally = store, leases, tally
        self._retry = RetryPolicy(
            None, 0.2, on=(JobStoreError,), final=(LeaseLostError,), most_pause_s=2.0, patience_s=patience_s
        )

    def completed(self, running: RunningJob, made_by: MadeBy, mp4: Clip, gif: Clip) -> bool:
        """The clip is stored. False where the record was refused: its files are then nobody's."""
        return self._record(
            running, "completed", lambda: self._store.complete(running.job, made_by, mp4, gif)
        )

    def failed(self, running: RunningJob, code: JobErrorCode, message: str) -> None:
        """The job has an error."""
        _log.warning("job %s failed: %s: %s", running.job.id, code, message)
        self._record(running, "failed", lambda: self._store.fail(running.job, code, message), code)

    def cancelled(self, running: RunningJob) -> None:
        """Nothing works on a cancelled job any more."""
        self._record(running, "cancelled", lambda: self._store.cancelled(running.job))

    def released(self, jobs: Iterable[RunningJob]) -> None:
        """Other replicas may have these."""
        for running in jobs:
            self._record(running, "", lambda each=running: self._store.release([each.job]))  # type: ignore[misc]

    def left(self, jobs: Iterable[RunningJob]) -> None:
        """These may be what this replica fails by: they count as lost with it when their leases end, so that
        no video can take down one replica after the other."""
        for running in jobs:
            _log.warning("job %s is left to its lease: this replica fails", running.job.id)
            self._leases.discard(running)

    def unwanted(self, running: RunningJob) -> None:
        """A job that is not wanted here: cancelled, or lost."""
        if running.lost:
            self._leases.discard(running)
        else:
            self.cancelled(running)

    def _record(self, running: RunningJob, outcome: str, write: Callable[[], object], code: str = "") -> bool:
        try:
            self._retry.call(write)
        except LeaseLostError:
            _log.warning("job %s is another replica's now: its end here counts for nothing", running.job.id)
            return False
        except JobStoreError as error:
            _log.error("the end of job %s is not recorded: %s", running.job.id, last_line(error))
            return False
        finally:
            self._leases.discard(running)
        if outcome:
            model, now = running.job.spec.model, datetime.now(UTC)
            self._tally.add(ENDED.add(model, outcome, code))
            if running.job.started is not None:
                self._tally.add(RUN.observe((now - running.job.started).total_seconds(), model))
        return True
