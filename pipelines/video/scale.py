"""Decoded frames → upright frames of one size and colour space, the same bits on every machine."""

import math

import av
import av.filter
import numpy as np
import numpy.typing as npt

from core.errors import RejectedError
from pipelines.video.settings import ClipSettings

_EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"
_TURNS = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}


class Scaler:
    """Turns frames upright and scales them to yuv420p of one size, with a watermark cropped off if that is
    configured; if scenes are detected, each frame is compared with the one before it.
    """

    def __init__(self, settings: ClipSettings) -> None:
        self._settings = settings
        self._shape: tuple[int, int, str, int] | None = None
        self._graph: av.filter.Graph | None = None
        self._size: tuple[int, int] | None = None
        self._last: tuple[av.VideoFrame, av.VideoFrame] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The scaled frame; for the same frame as last time, the same result."""
        if self._last is not None and self._last[0] is frame:
            return self._last[1]
        shape = (frame.width, frame.height, frame.format.name, frame.rotation)
        graph = self._graph
        if graph is None or shape != self._shape:
            graph = self._graph = self._build(frame)
            self._shape = shape
        graph.vpush(frame)
        scaled = graph.vpull()
        self._last = (frame, scaled)
        return scaled

    def _build(self, frame: av.VideoFrame) -> av.filter.Graph:
        turns = _TURNS.get(round(frame.rotation) % 360, [])
        width, height = (
            (frame.height, frame.width) if "transpose" in "".join(turns) else (frame.width, frame.height)
        )
        crop, width, height = self._crop(width, height)
        if self._size is None:
            self._size = self._target(width, height)
        size = f"scale={self._size[0]}:{self._size[1]}:{_EXACT}:out_color_matrix=bt601:out_range=tv"
        scenes = [] if self._settings.scene_threshold is None else ["scdet=threshold=100"]
        return _chain(frame, [*turns, *crop, size, "format=yuv420p", "setsar=1", *scenes])

    def _crop(self, width: int, height: int) -> tuple[list[str], int, int]:
        """Filters that leave the part without the watermark, and its size."""
        mark = self._settings.watermark
        if mark is None or mark.action != "crop":
            return [], width, height
        left, top, right, bottom = mark.remainder()
        # Even offsets and sizes: most files store colours for blocks of two by two pixels.
        x, y = (2 * math.ceil(low * side / 2) for low, side in ((left, width), (top, height)))
        w, h = (
            max(2, int(high * side - at) // 2 * 2)
            for high, side, at in ((right, width, x), (bottom, height, y))
        )
        return [f"crop={w}:{h}:{x}:{y}:exact=1"], w, h

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of clips from frames of this size. Raises RejectedError (too_small)."""
        short = min(width, height)
        if short < self._settings.short_side and self._settings.small == "reject":
            raise RejectedError("too_small", f"{width}x{height}")
        scale = self._settings.short_side / short
        if self._settings.small != "enlarge":
            scale = min(1.0, scale)
        return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def scene_score(frame: av.VideoFrame) -> float:
    """How much a scaled frame differs from the one before, 0–100, as FFmpeg's scdet filter measures it."""
    return float(frame.metadata.get("lavfi.scd.score", 0))


def rgb_pixels(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """Pixels of a scaled frame, uint8 [height, width, 3]."""
    graph = _chain(frame, [f"scale={_EXACT}:in_color_matrix=bt601:in_range=tv:out_range=pc", "format=rgb24"])
    graph.vpush(frame)
    pixels: npt.NDArray[np.uint8] = graph.vpull().to_ndarray()
    return pixels


def _chain(frame: av.VideoFrame, filters: list[str]) -> av.filter.Graph:
    """A configured filter graph for frames like this one."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/90000"
        f":pixel_aspect=1/1:colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    )
    nodes = [graph.add("buffer", source)]
    for text in filters:
        name, _, args = text.partition("=")
        nodes.append(graph.add(name, args or None))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph
