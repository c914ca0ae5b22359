"""Decoded frames → upright frames of one size and colour space, the same bits on every machine."""

from typing import Any

import av.filter
import numpy as np
import numpy.typing as npt

EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"


class Scaler:
    """Turns decoded frames upright and to the wanted size, as yuv420p; never enlarges."""

    def __init__(self, short_side: int) -> None:
        self._short_side = short_side
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
        if self._size is None:
            scale = min(1.0, self._short_side / min(width, height))
            self._size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
        size = f"scale={self._size[0]}:{self._size[1]}:{EXACT}:out_color_matrix=bt601:out_range=tv"
        return _chain(frame, [*turns, size, "format=yuv420p", "setsar=1"])


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
