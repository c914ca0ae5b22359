"""What is recorded of a clip when it is written; it becomes the clip's part of KEY.json."""

from typing import NotRequired

from pydantic import JsonValue

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict


class ClipScores(TypedDict):
    """What filters judge a clip by: see :class:`pipelines.video.scores.Scores`, and width / height."""

    motion: float
    brightness: float
    text: float
    aspect: float


class EncoderRecord(TypedDict):
    """What encoded a file: library and version, as "x264 core 165", and the options that it was given."""

    name: str
    options: dict[str, str]


class ClipRecord(TypedDict):
    """One clip: ``start`` and ``duration`` in seconds, size in pixels, ``phash`` in hexadecimal digits.

    ``condition_frames`` are the indices of the frames stored as images, the first of which is
    ``condition_frame``; ``watermark`` are its settings, if the source has one; ``encoders`` are those of the
    clip and its images, by suffix, which earlier versions did not record.
    """

    key: str
    start: float
    duration: float
    fps: float
    frames: int
    width: int
    height: int
    condition_frame: int
    condition_frames: list[int]
    scores: ClipScores
    phash: str
    watermark: NotRequired[dict[str, JsonValue]]
    encoders: NotRequired[dict[str, EncoderRecord]]


def image_name(key: str, number: int) -> str:
    """File name of a clip's drawn frame: KEY.jpg, KEY.1.jpg, KEY.2.jpg, …."""
    return f"{key}.{number}.jpg" if number else f"{key}.jpg"
