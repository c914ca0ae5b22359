"""A replica: one thread that claims jobs and samples them, and the threads around it."""

from __future__ import annotations

import logging
import threading
import time

from core.errors import last_line
from orchestration.serving.counters import FAULTS, SELF_CHECKS, WAIT
from orchestration.serving.engine.batch import BatchRun
from orchestration.serving.engine.bench import BatchLimit, Bench
from orchestration.serving.engine.faults import Outage, fault_id
from orchestration.serving.engine.health import EngineError, Pulse
from orchestration.serving.engine.interface import LoadedModel, Models
from orchestration.serving.engine.leases import Leases, RunningJob
from orchestration.serving.engine.outcomes import Outcomes
from orchestration.serving.engine.smoke import small_clip
from orchestration.serving.engine.tally import Tally
from orchestration.serving.engine.timings import Timings
from orchestration.serving.engine.writing import Writer
from orchestration.serving.jobs import Job, JobStore, JobStoreError
from orchestration.serving.results import Results
from orchestration.serving.settings import EngineSettings

_log = logging.getLogger(__name__)
_POLL_S = 0.05
# The pause where the database or the results store do not answer.
_OUTAGE_S = 1.0
# Clips of one replica that may wait to be written while the next batch is sampled.
_WAITING = 4


class Engine:
    """Runs the jobs of a store with a replica's models, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        store: JobStore,
        results: Results,
        models: Models,
        settings: EngineSettings,
        replica: str,
        *,
        threads: int | None = None,
    ) -> None:
        """Args:
        replica: a name that no other replica has, nor this one after a restart.
        threads: of the CPU for one operation; None leaves torch's.
        """
        self._store, self._models, self._settings = store, models, settings
        self._replica, self._threads = replica, threads
        self._tally = Tally(store)
        self._leases = Leases(store, self._tally)
        self._timings = Timings()
        self._pulse = Pulse(self._timings, compiles=settings.compile != "off")
        outcomes = Outcomes(store, self._leases, self._tally, patience_s=settings.lease_seconds)
        self._bench = Bench(
            replica=replica,
            precision=settings.precision,
            results=results,
            leases=self._leases,
            outcomes=outcomes,
            writer=Writer(results, outcomes, self._timings, _WAITING),
            timings=self._timings,
            tally=self._tally,
            pulse=self._pulse,
            limit=BatchLimit(settings.batch),
            abandon=threading.Event(),
            check_device=self._check_device,
        )
        self._claims = Outage()
        self._stopping = threading.Event()
        self._model: LoadedModel | None = None
        self._thread = threading.Thread(target=self._run, name="animatic-device", daemon=True)

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Begin to claim jobs."""
        self._tally.start()
        self._leases.start()
        self._bench.writer.start()
        self._thread.start()

    @property
    def running(self) -> list[RunningJob]:
        """The jobs that this replica has now, until their clips are stored."""
        return self._leases.running

    def flush_counters(self) -> None:
        """Add what was counted to the store now, and not within a second."""
        self._tally.flush()

    def check(self) -> None:
        """Raise EngineError where the replica cannot go on: it failed, is stuck, or a thread ended."""
        self._pulse.check()
        threads = {
            "device": self._thread.is_alive(),
            "writer": self._bench.writer.alive,
            "lease": self._leases.alive,
        }
        dead = [name for name, alive in threads.items() if not alive]
        if dead and not self._stopping.is_set():
            raise EngineError(f"the {dead[0]} thread of replica {self._replica} has ended")

    def stop(self, finish_s: float, release_s: float = 10.0) -> None:
        """Claim nothing more. The running batch ends within ``finish_s`` seconds, or else is released after
        its next step; what has not ended ``release_s`` seconds later loses its lease in time.
        Without effect if not started.
        """
        if not self.started:
            return
        self._stopping.set()
        self._thread.join(finish_s)
        self.abandon()
        end = time.monotonic() + release_s
        self._thread.join(release_s)
        if not self._bench.writer.drain(max(0.0, end - time.monotonic())) or self._thread.is_alive():
            _log.warning(
                "replica %s ends with %d jobs that were not released", self._replica, len(self.running)
            )
        self._leases.stop()
        self._tally.stop()

    def abandon(self) -> None:
        """Claim nothing more, and release the running batch after its next step."""
        self._stopping.set()
        self._bench.abandon.set()

    def _run(self) -> None:
        if self._threads is not None:
            import torch

            torch.set_num_threads(self._threads)
        try:
            while not self._stopping.is_set() and not self._pulse.failed:
                self._turn()
        except Exception as error:  # noqa: BLE001
            # The end of the thread: Ray Serve reads it from check() and replaces the replica.
            fault = fault_id()
            _log.exception("fault %s: the device thread ends", fault)
            self._pulse.fail(f"the device thread ended with fault {fault}: {last_line(error)}")

    def _turn(self) -> None:
        self._pulse.beat()
        self._models.between_jobs()
        self._pulse.beat()
        claimed = self._claim()
        if not claimed:
            self._stopping.wait(_POLL_S)
            return
        for job in claimed:
            self._count_start(job)
        running = self._leases.add(claimed)
        self._model = self._models.resolve(claimed[0].spec.model)
        if self._model is None:  # it went between two batches
            self._bench.outcomes.released(running)
            return
        batch = BatchRun(self._bench, self._model, running)
        # One job may have brought down the replicas of all: in the last attempt it is alone in that.
        last_attempt = 0 < claimed[0].lost >= self._settings.attempts - 1
        sound = False
        try:
            batch.run(together=not last_attempt)
            sound = not self._pulse.failed
        finally:
            (self._bench.outcomes.released if sound else self._bench.outcomes.left)(batch.open)
            self._model = None  # an exchanged version is not kept for it
        if batch.outage:
            self._tally.add(FAULTS.add("results"))
            self._stopping.wait(_OUTAGE_S)

    def _claim(self) -> list[Job]:
        served = self._models.served()
        if not served:
            return []
        try:
            claimed = self._store.claim(self._replica, served, self._bench.limit.most)
        except JobStoreError as error:
            self._claims.failed("no video can be claimed", error)
            self._tally.add(FAULTS.add("claim"))
            self._stopping.wait(_OUTAGE_S)
            return []
        self._claims.succeeded()
        return claimed

    def _count_start(self, job: Job) -> None:
        if job.attempt == 1 and job.started is not None:
            self._tally.add(WAIT.observe((job.started - job.created).total_seconds(), job.spec.model))

    def _check_device(self) -> bool:
        assert self._model is not None  # a batch runs
        try:
            small_clip(self._model, self._settings.smoke_steps, self._settings.precision)
        except Exception as error:  # noqa: BLE001
            # Any error is the answer: this device makes no clips.
            _log.error("the self-check of replica %s failed", self._replica, exc_info=error)
            self._tally.add(SELF_CHECKS.add("failed"))
            self._pulse.fail(f"the self-check after an error failed: {last_line(error)}")
            return False
        self._pulse.beat()
        self._tally.add(SELF_CHECKS.add("ok"))
        return True
