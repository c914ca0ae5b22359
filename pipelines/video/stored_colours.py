"""Scaling to the colours in which clips are stored: yuv420p in limited range with the matrix of BT.601."""

from collections.abc import Sequence

import av

from pipelines.video.colour import Colour
from pipelines.video.graph import EXACT, filter_graph

_BT709 = 1  # ITU-T H.273, table 4
_FORMAT = ("format=yuv420p", "setsar=1")
_STORED = "out_color_matrix=bt601:out_range=tv"


def to_stored(frame: av.VideoFrame, size: tuple[int, int], colour: Colour) -> list[str]:
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


def rgb_to_stored(frame: av.VideoFrame, further: Sequence[str]) -> av.filter.Graph:
    """Filters for RGB frames like this one, of the same size, then ``further`` ones."""
    return filter_graph(frame, [f"scale={EXACT}:{_STORED}", *_FORMAT, *further])
