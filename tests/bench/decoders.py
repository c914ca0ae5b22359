"""What is decoded of a dataset's members, by the libraries that can, and why decord does it here."""

import contextlib
import io
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import av
import decord
import numpy as np

from pipelines.dataset import Dataset
from pipelines.loader.sampling import ClipSampling, draw_params
from pipelines.video.frames import cover
from tests.bench.timing import Result, Row

DECODED = 24


def beside_python(dataset: Dataset) -> Result:
    """Why clips are read with decord: what two decoders take beside a thread that keeps the interpreter."""
    sampling = ClipSampling(frames=16, height=256, width=256, stride=(3, 3))
    decoders = {"decord": decode_with_decord, "PyAV": decode_with_pyav}
    seconds: dict[str, float] = {}
    for name, decode in decoders.items():
        decode(*next(members(dataset, sampling, "mp4")))  # imports
        stored = members(dataset, sampling, "mp4")
        for beside, context in (("alone", contextlib.nullcontext), ("beside Python", _busy)):
            with context():
                spent = [_timed(decode, *next(stored)) for _ in range(DECODED)]
            seconds[f"{name}, {beside}"] = statistics.median(spent)
    first = seconds["decord, alone"]
    rows = [Row(name, median, first / median) for name, median in seconds.items()]
    return Result("loader-decoders", "16 frames, stride 3", "wall seconds", rows)


def _timed(work: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    """A thread that runs Python without a pause."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def members(
    dataset: Dataset, sampling: ClipSampling, member: Any
) -> Iterator[tuple[bytes, list[int], int, int]]:
    """Bytes of each sample, and what the loader would decode of it, without end."""
    rows = dataset.samples.to_pylist()
    stored = [dataset.read(row, member) for row in range(len(rows))]
    for epoch in itertools.count():
        for data, row in zip(stored, rows, strict=True):
            params = draw_params(
                sampling, 0, epoch, row["key"], clip_frames=row["frames"], clip_fps=row["fps"]
            )
            yield (
                data,
                params.frame_indices,
                *cover((row["height"], row["width"]), (sampling.height, sampling.width)),
            )


def decode_with_decord(mp4: bytes, indices: list[int], height: int, width: int) -> object:
    reader = decord.VideoReader(io.BytesIO(mp4), ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    return reader.get_batch(indices).asnumpy()


def decode_with_pyav(mp4: bytes, indices: list[int], height: int, width: int) -> object:
    wanted, frames = set(indices), []
    with av.open(io.BytesIO(mp4), format="mp4") as clip:
        stream = clip.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = round(1 / (stream.average_rate * stream.time_base))
        clip.seek(indices[0] * ticks, stream=stream)
        for frame in clip.decode(stream):
            if frame.pts // ticks in wanted:
                frames.append(frame.to_ndarray(format="rgb24", width=width, height=height))
            if len(frames) == len(indices):
                break
    return np.stack(frames)
