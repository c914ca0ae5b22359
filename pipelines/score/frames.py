"""Pictures of a sample as metrics see them: its stored image, and the frames of one decode of its clip."""

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from PIL import Image

from pipelines.score.metrics.metric import Plane
from pipelines.video.frames import UNREADABLE_IMAGE, Frames, UndecodableError, fit_image, read_image


@dataclass(frozen=True)
class StoredImage:
    """KEY.jpg of a sample."""

    jpg: bytes

    @property
    def luma(self) -> Plane:
        """[height, width]. Raises UndecodableError."""
        return self._converted("L")

    @property
    def whole(self) -> Frames:
        """[height, width, 3]. Raises UndecodableError."""
        return self._converted("RGB")

    def rgb(self, side: int) -> Frames:
        """[side, side, 3]. Raises UndecodableError."""
        return read_image(self.jpg, (side, side))

    def _converted(self, mode: str) -> Frames:
        try:
            with Image.open(io.BytesIO(self.jpg), formats=["JPEG", "PNG", "WEBP"]) as image:
                return np.asarray(image.convert(mode))
        except UNREADABLE_IMAGE as error:
            raise UndecodableError(str(error)) from error


class ClipFrame:
    """A decoded frame of KEY.mp4; what several metrics take of it is converted once."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame

    @functools.cached_property
    def luma(self) -> Plane:
        """[height, width], 16 to 235."""
        plane = self._frame.planes[0]
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return lines[:, : self._frame.width]

    @functools.cached_property
    def whole(self) -> Frames:
        """[height, width, 3]."""
        frame: Frames = self._frame.to_ndarray(format="rgb24")
        return frame

    def rgb(self, side: int) -> Frames:
        """[side, side, 3]."""
        return fit_image(Image.fromarray(self.whole), (side, side))


def clip_frames(mp4: bytes, is_wanted: Callable[[int], bool], end: int) -> Iterator[tuple[int, ClipFrame]]:
    """Number and content of the wanted frames of a clip, all below ``end``, in order.

    Raises UndecodableError, also if the clip has fewer than ``end`` frames.
    """
    number = 0
    try:
        with av.open(io.BytesIO(mp4), format="mp4") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for number, frame in enumerate(container.decode(stream), start=1):
                if is_wanted(number - 1):
                    yield number - 1, ClipFrame(frame)
                if number == end:
                    return
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise UndecodableError(str(error)) from error
    if number < end:
        raise UndecodableError(f"ends after {number} of {end} frames")
