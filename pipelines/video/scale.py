"""Decoded frames → upright frames of one size and colour space, the same bits on every machine."""

import math
from typing import TYPE_CHECKING, Any

import av.filter
import numpy as np
import numpy.typing as npt

from core.errors import RejectedError

if TYPE_CHECKING:
    from pipelines.video.clip import ClipSettings

EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"


class Scaler:
    """Turns decoded frames upright and to the wanted size, as yuv420p, without their watermark if it is cut
    off, and compares each with the one before if scenes are told apart."""

    def __init__(self, settings: "ClipSettings") -> None:
        self._settings = settings
        self._shape: tuple[Any, ...] | None = None
        self._graph: Any = None
        self._size: tuple[int, int] | None = None
        self._last: tuple[Any, Any] | None = None

    def __call__(self, frame: Any) -> Any:
        if self._last is not None and self._last[0] is frame:
            return self._last[1]
        shape = (frame.width, frame.height, frame.format.name, frame.rotation)
        if shape != self._shape:
            self._graph, self._shape = self._build(frame), shape
        self._graph.vpush(frame)
        scaled = self._graph.vpull()
        self._last = (frame, scaled)
        return scaled

    def _build(self, frame: Any) -> Any:
        turn = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}
        turns = turn.get(round(frame.rotation) % 360, [])
        width, height = (
            (frame.height, frame.width) if "transpose" in "".join(turns) else (frame.width, frame.height)
        )
        crop, width, height = self._crop(width, height)
        if self._size is None:
            self._size = self._target(width, height)
        size = f"scale={self._size[0]}:{self._size[1]}:{EXACT}:out_color_matrix=bt601:out_range=tv"
        scenes = [] if self._settings.scene_threshold is None else ["scdet=threshold=100"]
        return _chain(frame, [*turns, *crop, size, "format=yuv420p", "setsar=1", *scenes])

    def _crop(self, width: int, height: int) -> tuple[list[str], int, int]:
        """Filters that leave the part without the watermark, and its size."""
        mark = self._settings.watermark
        if mark is None or mark.action != "crop":
            return [], width, height
        left, top, right, bottom = mark.remainder()
        # Even places and sizes, because the colours of most files are stored for two by two pixels.
        x, y = (2 * math.ceil(low * side / 2) for low, side in ((left, width), (top, height)))
        w, h = (
            max(2, int(high * side - at) // 2 * 2)
            for high, side, at in ((right, width, x), (bottom, height, y))
        )
        return [f"crop={w}:{h}:{x}:{y}:exact=1"], w, h

    def _target(self, width: int, height: int) -> tuple[int, int]:
        short = min(width, height)
        if short < self._settings.short_side and self._settings.small == "reject":
            raise RejectedError("too_small", f"{width}x{height}")
        scale = self._settings.short_side / short
        if self._settings.small != "enlarge":
            scale = min(1.0, scale)
        return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def scene_score(frame: Any) -> float:
    """How much a scaled frame differs from the one before, 0–100, as FFmpeg's scdet filter measures it."""
    return float(frame.metadata.get("lavfi.scd.score", 0))


def _chain(frame: Any, filters: list[str]) -> Any:
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


def rgb_pixels(frame: Any) -> npt.NDArray[np.uint8]:
    """Pixels of a scaled frame, uint8 [height, width, 3]."""
    graph = _chain(frame, [f"scale={EXACT}:in_color_matrix=bt601:in_range=tv:out_range=pc", "format=rgb24"])
    graph.vpush(frame)
    pixels: npt.NDArray[np.uint8] = graph.vpull().to_ndarray()
    return pixels
