"""A trace of chosen steps by torch's profiler: what ran on host and device, and when."""

import gzip
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from core.files import atomic_file
from training import events
from training.clock import StepClock
from training.journal import Journal

logger = logging.getLogger(__name__)


class StepProfiler:
    """Traces the steps that ``observe.profile`` names, once, in every process.

    A trace is a file for chrome://tracing or https://ui.perfetto.dev. Each step is a range in it, and each
    phase of the clock.
    """

    def __init__(
        self, steps: str | None, folder: Path, clock: StepClock, journal: Journal, rank: int
    ) -> None:
        """
        Args:
            steps: the first and the last one, as 10 or 10-12; None traces none.
            folder: for the traces of all processes, ``rank`` that of this one.
        """
        first, _, last = (steps or "0").partition("-")
        self._steps = range(int(first), int(last or first) + 1) if steps else range(0)
        self._folder, self._rank = folder, rank
        self._clock, self._journal = clock, journal
        self._running: profile | None = None
        self._begun = 0

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """A step runs inside. A step that raises ends the trace, which is then not written."""
        if step not in self._steps:
            yield
            return
        if self._running is None:
            self._start(step)
        done = False
        try:
            with record_function(f"step {step}"):
                yield
            done = True
        finally:
            if not done or step == self._steps[-1]:
                self._finish(step, write=done)

    def _start(self, step: int) -> None:
        with self._clock.paused():
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._running, self._begun = profile(activities=activities), step
            self._running.start()
        self._clock.annotates = True

    def _finish(self, step: int, *, write: bool) -> None:
        running, self._running, self._clock.annotates = self._running, None, False
        assert running is not None  # a step began
        with self._clock.paused():
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # the step's kernels belong to it
            running.stop()
            if write:
                self._steps = range(0)
                self._write(running, step)

    def _write(self, trace: profile, step: int) -> None:
        steps = f"{self._begun}-{step}" if step > self._begun else str(step)
        path = self._folder / f"rank-{self._rank:05d}-steps-{steps}.json.gz"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                plain = Path(folder) / "trace.json"
                trace.export_chrome_trace(str(plain))
                with (
                    atomic_file(path) as partial,
                    plain.open("rb") as source,
                    gzip.open(partial, "wb", compresslevel=3) as target,
                ):
                    shutil.copyfileobj(source, target)
        except OSError as error:  # training is worth more than its trace
            message = f"the trace of steps {steps} cannot be written to {path}: {error}"
            logger.warning("%s", message)
            self._journal.record(step, events.Warned(message))
            return
        self._journal.record(step, events.Profiled(steps, self._folder.name))
