"""What the training loop costs beside a bare DeepSpeed loop: blocks of steps of both in turn, in one run."""

import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from models.animator import Animator
from models.batch import Batch
from models.bundle import TrainedOn
from tests.bench.timing import Result, Row, clock_name
from training import parts
from training.backends import DeepSpeedBackend
from training.config import RunConfig, resolve
from training.loop import train

# Steps of each of the two loops before the other's turn, with the loop's report at the preset's interval.
BLOCK = 10
_BATCHES = 8
_SETS = (
    "train.ema_decay=null",
    "validation.every=0",
    "validation.loss_every=0",
    "train.checkpoint_every=1000000",
    "init.base=prior",
    "ablation.joint=true",
)


class DrawnBatches:
    """Batches drawn once, so that neither loop waits for data."""

    failures = 0

    def __init__(self, config: RunConfig) -> None:
        self.digest = "drawn"
        self.datasets: Sequence[TrainedOn] = ()
        generator = torch.Generator().manual_seed(0)
        self._drawn = [_batch(config, number, generator) for number in range(_BATCHES)]

    def batches(
        self, rank: int, world_size: int, position: int, global_batch: int, data_round: int = 0
    ) -> Iterator[Batch]:
        """The same few batches again and again, of a single process."""
        return itertools.cycle(self._drawn)

    def first(self, count: int) -> Batch:
        """Samples of the first batch."""
        return self._drawn[0].split(count)[0]

    def size(self) -> int:
        """Of the drawn samples."""
        return sum(map(len, self._drawn))

    def check_encoders(self, animator: Animator) -> None:
        """Pixels fit all encoders."""


class _Blocks:
    """Follows a run; after each block of its steps, trains the same engine on as many batches by hand.

    Attributes:
        loop, bare: seconds a step, of each block.
    """

    def __init__(self, batches: Iterator[Batch], block: int) -> None:
        """``block``: steps of each loop in turn."""
        self._batches, self._block = batches, block
        in_processor_time = clock_name("cpu") == "processor seconds"
        self._now = time.process_time if in_processor_time else time.perf_counter
        self._engine: Any = None
        self._began = 0.0
        self.loop: list[float] = []
        self.bare: list[float] = []

    def attach(self, *arguments: Any, **options: Any) -> DeepSpeedBackend:
        """Build the run's backend, and remember its engine."""
        backend = DeepSpeedBackend(*arguments, **options)
        self._engine = backend._engine
        return backend

    def __call__(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """A step of the run is done."""
        if step % self._block or step == steps:
            return
        if self._began:
            self.loop.append((self._now() - self._began) / self._block)
            began = self._now()
            for _ in range(self._block):
                self._bare_step()
            self.bare.append((self._now() - began) / self._block)
        self._began = self._now()

    def _bare_step(self) -> None:
        """As DeepSpeed's documentation has it."""
        loss = self._engine(next(self._batches), True)[0]
        self._engine.backward(loss)
        self._engine.step()


def training_loop(rounds: int, block: int = BLOCK) -> list[Result]:
    """Preset tiny, stage 3, one process, without EMA, which a bare loop does not have either.

    The speed-up is the bare loop's time in that of the training loop. ``block``: steps of each in turn.
    """
    # In a process of its own: DeepSpeed keeps what it allocated until its process ends.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        loop, bare, batch = pool.submit(_measure, rounds, block, torch.get_num_threads()).result()
    ratio = statistics.median(own / other for own, other in zip(bare, loop, strict=True))
    rows = [
        Row("bare DeepSpeed loop", statistics.median(bare), 1.0),
        Row("training loop", statistics.median(loop), ratio),
    ]
    title = f"preset tiny, stage 3, a step of {batch} clips; blocks of {block} in turn"
    return [Result("training-loop", title, clock_name("cpu"), rows)]


def _measure(rounds: int, block: int, threads: int) -> tuple[list[float], list[float], int]:
    """Seconds a step in each block, of the training loop and of the bare one, and the batch."""
    torch.set_num_threads(threads)
    # One block more to warm up, and one step more at the end, after which a run writes a checkpoint.
    sets = [*_SETS, f"train.steps={block * (rounds + 1) + 1}"]
    config = resolve(3, "tiny", sets)
    source = DrawnBatches(config)
    blocks = _Blocks(source.batches(0, 1, 0, 0), block)
    with tempfile.TemporaryDirectory() as folder, patch.object(parts, "DeepSpeedBackend", blocks.attach):
        train(config, Path(folder), source=source, on_progress=blocks)
    return blocks.loop, blocks.bare, config.train.global_batch


def _batch(config: RunConfig, number: int, generator: torch.Generator) -> Batch:
    size, sampling = config.train.global_batch, config.data.sampling
    shape = (size, sampling.frames, 3, sampling.height, sampling.width)
    return Batch(
        pixels=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        captions=[f"a ball number {row}" for row in range(size)],
        fps=torch.full((size,), 8.0),
        condition_index=torch.zeros(size, dtype=torch.int64),
        drop_text=torch.zeros(size, dtype=torch.bool),
        drop_image=torch.zeros(size, dtype=torch.bool),
        seed=torch.arange(number * size, (number + 1) * size),
        keys=[f"clip-{row}" for row in range(size)],
    )
