"""One batch on the device: sampled together, left by cancelled jobs, split where it is too much."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import AnimaticError, last_line
from core.storage import UnavailableError
from models.diffusion.settings import SamplingSettings
from models.passes import passes_per_step
from orchestration.serving.counters import BATCHES, OUT_OF_MEMORY, STEP, STEPS
from orchestration.serving.engine.bench import Bench
from orchestration.serving.engine.clips import Pictures, check_size, open_pictures, sample, settings_of
from orchestration.serving.engine.device import free_memory, is_out_of_memory, wait_for_device
from orchestration.serving.engine.faults import fault_id
from orchestration.serving.engine.interface import LoadedModel
from orchestration.serving.engine.leases import RunningJob
from orchestration.serving.engine.timings import Shape
from orchestration.serving.engine.writing import SampledClip
from orchestration.serving.jobs import MadeBy
from orchestration.serving.schema import JobErrorCode

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failure:
    """Why a batch could not be made. ``doubtful``: the device itself may be at fault."""

    code: JobErrorCode
    message: str
    doubtful: bool


class BatchRun:
    """A claimed batch of one shape, from pictures to frames.

    Every job that it gets is passed to the writer or recorded as ended, or it is among the open ones.

    Attributes:
        outage: the results store did not answer; jobs are open because of that.
    """

    def __init__(self, bench: Bench, model: LoadedModel, jobs: Sequence[RunningJob]) -> None:
        self._bench, self._model = bench, model
        self._open = list(jobs)
        self._sampling: list[RunningJob] = []
        self._step_began = 0.0
        self.outage = False

    @property
    def open(self) -> list[RunningJob]:
        """Jobs that have not ended here."""
        return list(self._open)

    def run(self, *, together: bool) -> None:
        """Make the clips: ``together``, and one by one where that fails."""
        if together and len(self._open) > 1:
            failure = self._attempt(self.open)
            if failure is None:
                return
            if failure.code == "out_of_memory":
                self._bench.limit.reduce(len(self._open))
            elif failure.doubtful and not self._bench.check_device():
                return
        for running in self.open:
            if self._bench.abandon.is_set():
                return
            failure = self._attempt([running])
            if failure is not None and not self._fail(running, failure):
                return

    def _fail(self, running: RunningJob, failure: _Failure) -> bool:
        """End a job that failed alone. False where the replica cannot go on."""
        if failure.code == "out_of_memory":
            self._close(running)
            self._bench.outcomes.failed(running, failure.code, failure.message)
            return self._bench.check_device()
        if failure.doubtful and not self._bench.check_device():
            return False  # the job may not be at fault: another replica tries it
        self._close(running)
        self._bench.outcomes.failed(running, failure.code, failure.message)
        return True

    def _attempt(self, jobs: Sequence[RunningJob]) -> _Failure | None:
        try:
            self._make(jobs)
            return None
        except Exception as error:  # noqa: BLE001
            # The border of the device loop: whatever a job causes, the replica goes on or checks itself.
            failure = self._failure(error)
        # The error and its frames, which refer to tensors, are gone here.
        free_memory()
        return failure

    def _failure(self, error: Exception) -> _Failure:
        if is_out_of_memory(error):
            self._bench.tally.add(OUT_OF_MEMORY.add())
            return _Failure("out_of_memory", "the device has too little memory for a clip of this size", True)
        if isinstance(error, AnimaticError):
            return _Failure("model_unavailable", last_line(error), False)
        fault = fault_id()
        _log.error("fault %s: a batch of %d failed", fault, len(self._open), exc_info=error)
        return _Failure("internal", f"the service failed: fault {fault} in its log", True)

    def _make(self, jobs: Sequence[RunningJob]) -> None:
        ready = [(running, pictures) for running in jobs if (pictures := self._pictures(running))]
        if not ready:
            return
        self._sampling = [running for running, _ in ready]
        specs = [running.job.spec for running in self._sampling]
        check_size(self._model, specs[0])
        settings = settings_of(self._model, specs[0], self._bench.precision)
        self._bench.tally.add(BATCHES.add(str(len(ready))))
        self._bench.leases.report(
            self._sampling, 0, settings.steps, self._remaining(settings, settings.steps)
        )
        self._step_began = 0.0

        def keep(done: int, steps: int) -> list[int] | None:
            return self._after_step(settings, done, steps)

        latents = sample(self._model, specs, [pictures for _, pictures in ready], settings, keep)
        sampled_at = time.monotonic()
        for running, row in zip(self._sampling, latents.split(1) if len(latents) else [], strict=True):
            self._decode(running, row, settings, sampled_at)

    def _pictures(self, running: RunningJob) -> Pictures | None:
        """The pictures of a job, which is ended here if they cannot be read, or nobody wants it."""
        if not running.wanted:
            self._close(running)
            self._bench.outcomes.unwanted(running)
            return None
        spec, architecture = running.job.spec, self._model.animator.architecture
        try:
            return open_pictures(self._bench.results, spec, architecture.height, architecture.width)
        except UnavailableError as error:
            _log.warning("job %s waits for its picture: %s", running.job.id, last_line(error))
            self.outage = True
            return None
        except (AnimaticError, FileNotFoundError) as error:
            # The message has paths of the store, which are not the client's to see.
            fault = fault_id()
            _log.error("fault %s: job %s: %s", fault, running.job.id, last_line(error))
            reason = f"the picture cannot be read: fault {fault} in the service's log"
        self._close(running)
        self._bench.outcomes.failed(running, "internal", reason)
        return None

    def _after_step(self, settings: SamplingSettings, done: int, steps: int) -> list[int] | None:
        """Record a step; the rows to go on with, if some leave."""
        wait_for_device()
        self._bench.pulse.beat()
        now, model = time.monotonic(), self._model.name
        if self._step_began:  # the first step computes conditions as well
            seconds = now - self._step_began
            self._bench.timings.step(self._shape(settings), seconds)
            self._bench.tally.add(STEP.observe(seconds, model))
        self._bench.tally.add(STEPS.add(model))
        rows = self._leave()
        if self._sampling:
            remaining_s = self._remaining(settings, steps - done)
            self._bench.leases.report(self._sampling, done, steps, remaining_s)
        self._step_began = time.monotonic()
        return rows

    def _leave(self) -> list[int] | None:
        if self._bench.abandon.is_set():
            self._sampling = []
            return []
        rows = [row for row, running in enumerate(self._sampling) if running.wanted]
        if len(rows) == len(self._sampling):
            return None
        leaving = [running for running in self._sampling if not running.wanted]
        self._sampling = [self._sampling[row] for row in rows]
        for running in leaving:
            self._close(running)
            self._bench.outcomes.unwanted(running)
        return rows

    def _decode(
        self, running: RunningJob, latents: Tensor, settings: SamplingSettings, sampled_at: float
    ) -> None:
        from models.animate import NotFiniteError, decode_latents
        from orchestration.media import to_frames

        if self._bench.abandon.is_set():
            return
        if not running.wanted:
            self._close(running)
            self._bench.outcomes.unwanted(running)
            return
        try:
            (clip,) = decode_latents(self._model.animator, latents, settings)
        except NotFiniteError as error:
            self._close(running)
            self._bench.outcomes.failed(running, "not_finite", last_line(error))
            return
        self._bench.pulse.beat()
        sampled = SampledClip(
            running, to_frames(clip), self._made_by(running, settings), self._shape(settings), sampled_at
        )
        self._close(running)
        self._bench.writer.put(sampled, self._bench.pulse.beat)

    def _close(self, running: RunningJob) -> None:
        self._open.remove(running)

    def _made_by(self, running: RunningJob, settings: SamplingSettings) -> MadeBy:
        exported = self._model.exported
        pointer, manifest = exported.pointer, exported.export.manifest
        return MadeBy(
            bundle_id=manifest.bundle_id,
            manifest=exported.export.digest,
            preset=manifest.preset,
            stage=manifest.stage,
            alias=pointer.alias,
            replica=self._bench.replica,
            sampling=settings.model_copy(update={"seed": running.job.spec.seed}),
        )

    def _remaining(self, settings: SamplingSettings, steps: int) -> float | None:
        return self._bench.timings.remaining(self._shape(settings), steps)

    def _shape(self, settings: SamplingSettings) -> Shape:
        spec = self._sampling[0].job.spec
        return Shape(
            version=self._model.exported.export.digest,
            mode=spec.mode,
            frames=spec.frames,
            passes=passes_per_step(self._model.animator.architecture, settings),
            clips=len(self._sampling),
        )
