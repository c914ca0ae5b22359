"""H.264 in mp4, with bytes that depend on the frames and the settings alone.

Two features of x264 would make equal frames give different files. Its macroblock tree reads memory that it
has not written where frames are narrow, so the result depends on the heap. And the number of threads, by
default that of the machine's cores, decides how the work is divided. No file is written with either.
"""

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.stream import VideoStream

Matrix = Literal["bt601", "bt709"]

# Lines from which players assume BT.709 where a file has no tags.
_HD_LINES = 720
_MATRIX_NUMBERS: dict[Matrix, int] = {"bt601": 6, "bt709": 1}  # ITU-T H.273, table 4
_BT709, _LIMITED_RANGE = 1, 1
_REPRODUCIBLE = "mbtree=0:threads=1"
# swscale's faster paths differ from one kind of processor to another.
_EXACT = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int+full_chroma_inp"
MP4_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}


@dataclass(frozen=True)
class H264Settings:
    """How x264 encodes.

    Attributes:
        crf: constant rate factor, 0 (lossless) to 51.
        preset: of x264, as "veryfast".
        tune: of x264, as "fastdecode".
        parameters: further ones of x264, as "keyint=25:scenecut=0".
    """

    crf: int
    preset: str = "medium"
    tune: str | None = None
    parameters: str = ""

    def options(self) -> dict[str, str]:
        """FFmpeg's options of the encoder."""
        parameters = f"{self.parameters}:{_REPRODUCIBLE}" if self.parameters else _REPRODUCIBLE
        tune = {} if self.tune is None else {"tune": self.tune}
        encoding = {"crf": str(self.crf), "preset": self.preset, **tune, "x264-params": parameters}
        return {**encoding, "flags": "+cgop+bitexact"}


def add_h264_stream(
    container: OutputContainer,
    settings: H264Settings,
    *,
    width: int,
    height: int,
    fps: Fraction,
    matrix: Matrix,
) -> VideoStream:
    """A stream of yuv420p frames in limited range, of even size, tagged with their colour matrix."""
    stream = container.add_stream("libx264", rate=fps, options=settings.options())
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base, context.thread_count = 1 / fps, 1
    context.colorspace, context.color_range = _MATRIX_NUMBERS[matrix], _LIMITED_RANGE
    return stream


def write_mp4(
    frames: npt.NDArray[np.uint8], path: Path, fps: float | Fraction, settings: H264Settings
) -> None:
    """Write RGB frames (t h w 3) so that browsers play them; an odd width or height gains one repeated line.

    Colours are tagged: BT.709 from 720 lines on, and below with the matrix of BT.601, as players assume.
    """
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    height, width = even.shape[1:3]
    rate = Fraction(fps).limit_denominator(1001)
    matrix: Matrix = "bt709" if height >= _HD_LINES else "bt601"
    to_yuv = _conversion(width, height, matrix)
    with av.open(str(path), "w", format="mp4", container_options=MP4_OPTIONS) as container:
        stream = add_h264_stream(container, settings, width=width, height=height, fps=rate, matrix=matrix)
        # sRGB has the primaries of BT.709, whatever the matrix.
        stream.codec_context.color_primaries = stream.codec_context.color_trc = _BT709
        for number, pixels in enumerate(even):
            to_yuv.vpush(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"))
            frame = to_yuv.vpull()
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@functools.cache
def x264_version() -> str:
    """Version of the encoder, as "x264 core 165", which it writes into every file."""
    context = av.CodecContext.create("libx264", "w")
    context.width = context.height = 16
    context.pix_fmt, context.time_base, context.options = "yuv420p", Fraction(1), {"x264-params": "threads=1"}
    packets = [*context.encode(av.VideoFrame(16, 16, "yuv420p")), *context.encode(None)]
    found = re.search(rb"x264 - (core \S+(?: r\S+)?)", b"".join(map(bytes, packets)))
    return f"x264 {found[1].decode()}" if found else "x264"


def _conversion(width: int, height: int, matrix: Matrix) -> av.filter.Graph:
    """A filter graph from RGB to yuv420p in limited range, the same bits on every machine."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/1:pixel_aspect=1/1"
    nodes = [
        graph.add("buffer", source),
        graph.add("scale", f"{_EXACT}:out_color_matrix={matrix}:out_range=tv"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph
