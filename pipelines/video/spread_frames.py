"""A few frames spread over a video, at the cost of little more than reading the file.

Run in the sandbox only: the files are hostile.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from pipelines.video.bars import FRAMES, spread
from pipelines.video.containers import open_video, rejecting
from pipelines.video.probe import VideoInfo
from pipelines.video.source_frames import decoded_frames, stream_of
from pipelines.video.webp import webp_frames

_STEP_SECONDS = 60  # of video, between two reports of progress


def spread_frames(
    path: Path, info: VideoInfo | None, max_hours: float, progress: Callable[[], None]
) -> Iterator[av.VideoFrame]:
    """FRAMES frames of a video, or all it has: key frames if there are as many, else any.

    ``info`` is None for WebP; frames after ``max_hours`` are not decoded. ``progress`` is called after each
    minute of video that is decoded. Raises RejectedError if frames between key frames have to be decoded, and
    one cannot be.
    """
    if info is None:
        count = sum(1 for _ in webp_frames(path)[1])
        yield from _chosen((frame for _, frame in webp_frames(path)[1]), count)
        return
    packets, keys = _packets(path, info)
    if len(keys) >= FRAMES:
        found = 0
        for frame in _key_frames(path, info, {keys[number] for number in spread(len(keys))}):
            found += 1
            yield frame
        # Some formats, as GIF, mark packets that cannot be decoded alone.
        if found >= FRAMES // 2:
            return
    yield from _chosen(_every_frame(path, info, max_hours, progress), packets)


def _chosen(frames: Iterator[av.VideoFrame], count: int) -> Iterator[av.VideoFrame]:
    wanted = set(spread(count))
    return (frame for number, frame in enumerate(frames) if number in wanted)


def _every_frame(
    path: Path, info: VideoInfo, max_hours: float, progress: Callable[[], None]
) -> Iterator[av.VideoFrame]:
    minutes = 0
    for source in decoded_frames(path, info):
        if source.time > max_hours * 3600:
            return
        if source.time >= (minutes + 1) * _STEP_SECONDS:
            minutes += 1
            progress()
        yield source.frame


def _packets(path: Path, info: VideoInfo) -> tuple[int, list[int]]:
    """How many packets a video has, and the numbers of those with a key frame."""
    count, keys = 0, list[int]()
    with open_video(path) as container, rejecting(path, "corrupt"):
        for packet in container.demux(stream_of(container, info)):
            if packet.size:
                keys += [count] if packet.is_keyframe else []
                count += 1
    return count, keys


def _key_frames(path: Path, info: VideoInfo, numbers: set[int]) -> Iterator[av.VideoFrame]:
    """The pictures of the packets of these numbers, those that can be decoded alone."""
    with open_video(path) as container, rejecting(path, "corrupt"):
        stream, count = stream_of(container, info), 0
        decoder = stream.codec_context
        for packet in container.demux(stream):
            if packet.size and count in numbers:
                # Where a picture is damaged is reported when all frames are decoded.
                with contextlib.suppress(av.error.FFmpegError, ValueError):
                    yield from [*decoder.decode(packet), *decoder.decode(None)][:1]
                decoder.flush_buffers()
            count += bool(packet.size)
