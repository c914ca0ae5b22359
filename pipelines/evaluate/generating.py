"""The Ray actor of the first phase: a system makes clips for the held-out pictures, chunk by chunk."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.evaluate.clips import HeldOutSet, SampleShape
from pipelines.evaluate.protocols import READERS
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.systems import OpenSystem, System


@dataclass(frozen=True)
class Generating:
    """What the actors need: the system, the held-out clips, and where to write."""

    system: System
    protocol: str
    data: str
    shape: SampleShape
    seed: int
    output: Path
    device: str


class ChunkGenerator:
    """Holds the system and makes chunks with it."""

    def __init__(self, work: Generating, open_system: Callable[[], OpenSystem] | None = None) -> None:
        """
        Args:
            open_system: where others use the same system; by default it is loaded for this object alone.
        """
        self._work = work
        self._open_system = open_system or (lambda: work.system.open(work.device))

    def ready(self) -> None:
        """Load the system and open the clips. Raises AnimaticError if the system has changed."""
        _ = self._system, self._held_out

    def make(self, chunk: tuple[int, list[int]]) -> int:
        """Generate and store the clips of a chunk (number, clips); returns its number.

        Raises AnimaticError if a clip cannot be decoded, or if the network's result is not finite.
        """
        number, clips = chunk
        start, work = time.monotonic(), self._work
        real = [self._held_out.clips[clip].sample(work.shape, work.seed) for clip in clips]
        generated = self._system.generate(real, work.seed)
        seconds = time.monotonic() - start
        EvaluationFolder(work.output).write_chunk(number, real, generated, seconds)
        return number

    @cached_property
    def _system(self) -> OpenSystem:
        return self._open_system()

    @cached_property
    def _held_out(self) -> HeldOutSet:
        return READERS[self._work.protocol](self._work.data)
