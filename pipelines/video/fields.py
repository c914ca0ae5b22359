"""Interlaced video: frames of two fields → single pictures, and frames that look like two fields.

Both filters need the frame after the one that they return, so they work on the sequence.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import av.filter

from pipelines.video.containers import rejecting
from pipelines.video.graph import filter_graph
from pipelines.video.source_frames import SourceFrame

_COMBED = {"tff", "bff"}


def deinterlaced(path: Path, frames: Iterator[SourceFrame], deinterlacer: str) -> Iterator[SourceFrame]:
    """The same frames at the same times, those that are declared as interlaced replaced by pictures of their
    first field, completed by this filter of FFmpeg's. Raises RejectedError."""
    chain = _Chain(f"{deinterlacer}=mode=send_frame:parity=auto:deint=interlaced", _as_deinterlaced)
    for frame in frames:
        # Most videos have no interlaced frame, and need no filter.
        if frame.frame.interlaced_frame:
            yield from _filtered(path, itertools.chain([frame], frames), chain)
            return
        yield frame


def with_combs(path: Path, frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    """The same frames, each with whether FFmpeg's idet takes it for interlaced. Raises RejectedError."""
    yield from _filtered(path, frames, _Chain("idet", _as_measured))


def _filtered(path: Path, frames: Iterable[SourceFrame], chain: "_Chain") -> Iterator[SourceFrame]:
    for frame in frames:
        with rejecting(path, "corrupt"):
            ready = chain.add(frame)
        yield from ready
    with rejecting(path, "corrupt"):
        ready = chain.flush()
    yield from ready


def _as_deinterlaced(frame: SourceFrame, filtered: av.VideoFrame) -> SourceFrame:
    if not frame.frame.interlaced_frame:
        return frame
    return dataclasses.replace(frame, frame=filtered, deinterlaced=True)


def _as_measured(frame: SourceFrame, filtered: av.VideoFrame) -> SourceFrame:
    kind = filtered.metadata.get("lavfi.idet.multiple.current_frame")
    return dataclasses.replace(frame, combed=kind in _COMBED)


class _Chain:
    """A filter that returns one frame for each that it is given, some of them later."""

    def __init__(self, name: str, result: Callable[[SourceFrame, av.VideoFrame], SourceFrame]) -> None:
        self._filter, self._result = name, result
        self._shape: tuple[int, int, str] | None = None
        self._graph: av.filter.Graph | None = None
        self._waiting: deque[SourceFrame] = deque()
        self._number = 0

    def add(self, frame: SourceFrame) -> list[SourceFrame]:
        """Take a frame; returns those that are ready. A change of size begins again."""
        picture = frame.frame
        shape, ready = (picture.width, picture.height, picture.format.name), list[SourceFrame]()
        if self._graph is None or shape != self._shape:
            ready = self.flush()
            self._graph, self._shape = filter_graph(picture, [self._filter]), shape
        # The decoder's own time stamps may be missing or go back.
        picture.pts, self._number = self._number, self._number + 1
        self._waiting.append(frame)
        self._graph.vpush(picture)
        return ready + self._ready()

    def flush(self) -> list[SourceFrame]:
        """The remaining frames."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        ready = self._ready()
        self._graph = None
        return ready

    def _ready(self) -> list[SourceFrame]:
        assert self._graph is not None
        ready = []
        while self._waiting:
            try:
                filtered = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            ready.append(self._result(self._waiting.popleft(), filtered))
        return ready
