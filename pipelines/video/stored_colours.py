"""Scaling to the colours in which clips are stored: yuv420p in limited range with the matrix of BT.601."""

from collections.abc import Sequence

import av
import av.filter
import numpy as np
import numpy.typing as npt

from core.errors import RejectedError
from pipelines.video.colour import Colour
from pipelines.video.graph import EXACT, filter_graph
from pipelines.video.tone_map import ToneMap

_SWSCALE_WHITE = 255 << 8  # of 16-bit RGB that swscale makes from YUV
_BT709 = 1  # ITU-T H.273, table 4
_FORMAT = ("format=yuv420p", "setsar=1")
_STORED = "out_color_matrix=bt601:out_range=tv"


class Conversion:
    """From frames of one kind to pixels of one size."""

    def __init__(
        self,
        frame: av.VideoFrame,
        upright: list[str],
        size: tuple[int, int],
        colour: Colour,
        further: list[str],
    ) -> None:
        """``upright`` are the filters that turn and crop, ``further`` those of the scaled frames.

        Raises RejectedError (unsupported_colour) for frames that FFmpeg cannot convert.
        """
        self._further = further
        self._tone_map: ToneMap | None = None
        if colour.is_converted:
            white = 65535 if frame.format.is_rgb else _SWSCALE_WHITE
            self._tone_map = ToneMap(colour.transfer, colour.primaries, colour.tone, white)
            matrix = "" if colour.matrix is None else f":in_color_matrix={colour.matrix}"
            levels = "" if colour.range is None else f":in_range={colour.range}"
            scale = f"scale={size[0]}:{size[1]}:{EXACT}{matrix}{levels}:out_range=pc"
            chain = [*upright, scale, "format=rgb48le"]
        else:
            chain = [*upright, *_to_stored(frame, size, colour), *further]
        self._scale = _graph_of_source(frame, chain)
        self._store: av.filter.Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The scaled frame."""
        self._scale.vpush(frame)
        scaled = self._scale.vpull()
        if self._tone_map is None:
            return scaled
        pixels = self._tone_map(scaled.to_ndarray(format="rgb48le"))
        mapped = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if self._store is None:
            self._store = _rgb_to_stored(mapped, self._further)
        self._store.vpush(mapped)
        return self._store.vpull()


def rgb_pixels(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """Pixels of a scaled frame, uint8 [height, width, 3]."""
    graph = filter_graph(
        frame, [f"scale={EXACT}:in_color_matrix=bt601:in_range=tv:out_range=pc", "format=rgb24"]
    )
    graph.vpush(frame)
    pixels: npt.NDArray[np.uint8] = graph.vpull().to_ndarray()
    return pixels


def _graph_of_source(frame: av.VideoFrame, filters: list[str]) -> av.filter.Graph:
    try:
        return filter_graph(frame, filters)
    except (NotImplementedError, av.error.ArgumentError) as error:
        detail = f"pixel format {frame.format.name} with colour matrix {int(frame.colorspace)}"
        raise RejectedError("unsupported_colour", detail) from error


def _to_stored(frame: av.VideoFrame, size: tuple[int, int], colour: Colour) -> list[str]:
    """Filters that scale frames like this one to ``size``, (width, height)."""
    scale = f"scale={size[0]}:{size[1]}:{EXACT}"
    if colour.range is not None:
        scale += f":in_range={colour.range}"
    is_bt709 = colour.matrix == "bt709" or int(frame.colorspace) == _BT709
    if is_bt709 and not frame.format.is_rgb:
        # swscale takes three times as long for another matrix, and rounds more. This filter rounds each value
        # once, with the same result on every processor.
        kept = f"{scale}:in_color_matrix=bt709:out_color_matrix=bt709:out_range=tv"
        matrix = "colorspace=all=bt601-6-625:iall=bt709:irange=tv:range=tv:fast=1"
        return [kept, _FORMAT[0], matrix, *_FORMAT]
    if colour.matrix is not None:
        scale += f":in_color_matrix={colour.matrix}"
    return [f"{scale}:{_STORED}", *_FORMAT]


def _rgb_to_stored(frame: av.VideoFrame, further: Sequence[str]) -> av.filter.Graph:
    """Filters for RGB frames like this one, of the same size, then ``further`` ones."""
    return filter_graph(frame, [f"scale={EXACT}:{_STORED}", *_FORMAT, *further])
