"""What is recorded of a clip when it is written; it becomes the clip's part of KEY.json."""

from typing import NotRequired

from pydantic import JsonValue

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict


class ClipScores(TypedDict):
    """What filters judge a clip by: see :class:`pipelines.video.scores.Scores`, and width / height.

    ``combing``, if it was measured, is the share of frames that look interlaced, ``bars`` the share of the
    source's picture that bars take up.
    """

    motion: float
    brightness: float
    text: float
    aspect: float
    combing: NotRequired[float]
    bars: NotRequired[float]


class Conversions(TypedDict, total=False):
    """What was changed of the source's pictures, beyond size, rate and orientation.

    ``sample_aspect`` is that of the source's pixels, width:height, where they are not square;
    ``deinterlaced`` the filter by which fields became frames; ``matrix`` that by which untagged colours were
    read, where it is not BT.601 or the settings name it, and ``range`` that which the settings name; ``hdr``
    the transfer of high dynamic range, and ``gamut`` the primaries, that were converted to BT.709; ``tone``
    the curve and the peak in cd/m² by which high dynamic range was compressed, where they are not hable and
    1000; ``bars`` the widths of the bars that were cut off: left, top, right, bottom in stored pixels of the
    upright picture.
    """

    sample_aspect: str
    deinterlaced: str
    matrix: str
    range: str
    tone: str
    hdr: str
    gamut: str
    bars: list[int]


class EncoderRecord(TypedDict):
    """What encoded a file: library and version, as "x264 core 165", and the options that it was given."""

    name: str
    options: dict[str, str]


class RungRecord(TypedDict):
    """A further encoding of a clip, KEY.RUNG.mp4: its size in pixels, its rate and number of frames."""

    rung: str
    width: int
    height: int
    fps: float
    frames: int


class ClipRecord(TypedDict):
    """One clip: ``start`` and ``duration`` in seconds, size in pixels, ``phash`` in hexadecimal digits.

    ``condition_frames`` are the indices of the frames stored as images, the first of which is
    ``condition_frame``; ``watermark`` are its settings, if the source has one; ``encoders`` are those of the
    clip and its images, by suffix, which earlier versions did not record; ``conversions`` is missing where
    there were none; ``span`` is the number of the span that it was cut from, if spans were given; ``rungs``
    are its further encodings, and ``rungs_skipped`` the names of those that would be larger than the video,
    or equal to the clip or to another.
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
    conversions: NotRequired[Conversions]
    span: NotRequired[int]
    rungs: NotRequired[list[RungRecord]]
    rungs_skipped: NotRequired[list[str]]


def image_name(key: str, number: int) -> str:
    """File name of a clip's drawn frame: KEY.jpg, KEY.1.jpg, KEY.2.jpg, …."""
    return f"{key}.{number}.jpg" if number else f"{key}.jpg"


def rung_member(rung: str) -> str:
    """What follows ``KEY.`` in the file name of a further encoding."""
    return f"{rung}.mp4"
