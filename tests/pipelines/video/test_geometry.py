"""Pictures are stored upright, with square pixels, one size a clip."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from pipelines.video.orientation import orientation
from tests.support.footage import ffmpeg, frame_number, frames_of, write_coded
from tests.support.pictures import corner_colours, corner_picture, distance, write_corners

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast")
ONE = 1 << 16
LATER = ("-itsoffset", "0.88")  # seconds, by which the second part of a recording begins after the first


def first_frame(source: Path, out: Path, settings: ClipSettings = SMALL) -> np.ndarray:
    normalise(source, "k", settings, out)
    return frames_of(out / "k-000.mp4")[0]


@pytest.mark.parametrize(("turned", "across", "down"), itertools.product((False, True), (1, -1), (1, -1)))
def test_every_display_matrix_gives_the_picture_that_it_describes(
    tmp_path: Path, turned: bool, across: int, down: int
) -> None:
    # Its first row is where a step to the right leads, its second row where a step down leads.
    rows = (0, down, 0, across, 0, 0) if turned else (across, 0, 0, 0, down, 0)
    matrix = (*(ONE * entry for entry in rows), 0, 0, 1 << 30)
    source = write_corners(tmp_path / "s.mp4", matrix=matrix)
    picture = corner_picture()
    wanted = picture.transpose(1, 0, 2) if turned else picture
    wanted = wanted[::down, ::across]
    found = first_frame(source, tmp_path)
    assert found.shape == wanted.shape
    assert distance(corner_colours(found), corner_colours(wanted)) < 12


@pytest.mark.parametrize("turned", [False, True])
def test_an_angle_within_half_a_degree_of_a_right_one_counts_as_that(turned: bool) -> None:
    near, rest = 65533, 572
    entries = (rest, near, 0, -near, rest) if turned else (near, rest, 0, -rest, near)
    exact = (0, ONE, 0, -ONE, 0) if turned else (ONE, 0, 0, 0, ONE)
    assert orientation(entries) == orientation(exact)


@pytest.mark.parametrize("options", [("-display_hflip",), ("-display_rotation", "90", "-display_vflip")])
def test_a_mirrored_video_is_stored_as_ffmpeg_shows_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = ffmpeg(tmp_path / "m.mp4", *options, "-i", str(write_corners(tmp_path / "s.mp4")), "-c", "copy")
    wanted = frames_of(ffmpeg(tmp_path / "wanted.mp4", "-i", str(source), "-crf", "10"))[0]
    found = first_frame(source, tmp_path)
    assert found.shape == wanted.shape
    assert distance(corner_colours(found), corner_colours(wanted)) < 8


def test_an_angle_between_the_right_ones_is_rejected_by_name(tmp_path: Path) -> None:
    matrix = (46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    source = write_corners(tmp_path / "s.mp4", matrix=matrix)
    with pytest.raises(RejectedError, match=r"unsupported_rotation: display matrix 0\.707 0\.707 -0\.707"):
        normalise(source, "k", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("size", "aspect", "wanted"),
    [
        ((720, 576), Fraction(64, 45), (170, 96)),  # PAL, wide
        ((720, 480), Fraction(8, 9), (128, 96)),  # NTSC
        ((160, 96), Fraction(1, 2), (80, 96)),
        ((96, 160), Fraction(4, 3), (96, 120)),
    ],
)
def test_pixels_that_are_not_square_become_square(
    tmp_path: Path, size: tuple[int, int], aspect: Fraction, wanted: tuple[int, int]
) -> None:
    source = write_corners(tmp_path / "s.mkv", size=size, aspect=aspect, preset="ultrafast")
    settings = SMALL.model_copy(update={"short_side": min(wanted)})
    [clip] = normalise(source, "k", settings, tmp_path)
    assert (clip["width"], clip["height"]) == wanted
    assert clip["conversions"] == {"sample_aspect": f"{aspect.numerator}:{aspect.denominator}"}
    assert clip["scores"]["aspect"] == round(wanted[0] / wanted[1], 4)


def test_a_sample_aspect_of_the_container_alone_is_used(tmp_path: Path) -> None:
    plain = write_corners(tmp_path / "plain.mp4")
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(plain), "-c", "copy", "-aspect", "10:3")
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["width"], clip["height"]) == (320, 96)
    assert clip["conversions"]["sample_aspect"] == "2:1"


def test_the_container_decides_where_it_contradicts_the_stream(tmp_path: Path) -> None:
    plain = write_corners(tmp_path / "plain.mp4", aspect=Fraction(1, 2))
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(plain), "-c", "copy", "-aspect", "10:3")
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["width"], clip["height"]) == (320, 96)


def test_a_turned_mirrored_anamorphic_video_is_upright_and_square(tmp_path: Path) -> None:
    matrix = (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30)  # columns become rows
    source = write_corners(tmp_path / "s.mp4", matrix=matrix, aspect=Fraction(2))
    found = first_frame(source, tmp_path)
    assert found.shape[:2] == (320, 96)
    wanted = corner_picture().transpose(1, 0, 2)
    assert distance(corner_colours(found), corner_colours(wanted)) < 12


def test_an_absurd_sample_aspect_is_rejected_by_name(tmp_path: Path) -> None:
    plain = write_corners(tmp_path / "plain.mp4")
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(plain), "-c", "copy", "-aspect", "1:120")
    with pytest.raises(RejectedError, match="unsupported_aspect: pixels of 1:200"):
        normalise(source, "k", SMALL, tmp_path)


def test_a_clip_ends_where_the_shape_of_the_picture_changes(tmp_path: Path) -> None:
    wide = ffmpeg(tmp_path / "a.ts", "-i", str(write_coded(tmp_path / "s.mp4", range(20))), "-c", "copy")
    square = ffmpeg(
        tmp_path / "b.ts", *LATER, "-i", str(tmp_path / "s.mp4"), "-vf", "scale=96:96", "-c:v", "libx264"
    )
    (tmp_path / "both.ts").write_bytes(wide.read_bytes() + square.read_bytes())
    clips = normalise(tmp_path / "both.ts", "k", SMALL, tmp_path)
    assert [(clip["width"], clip["height"], clip["frames"]) for clip in clips] == [
        (160, 96, 20),
        (96, 96, 20),
    ]
    assert [frame_number(frame) for frame in frames_of(tmp_path / "k-000.mp4")] == list(range(20))


def test_a_clip_ends_where_the_sample_aspect_changes(tmp_path: Path) -> None:
    coded = str(write_coded(tmp_path / "s.mp4", range(20)))
    for name, aspect, later in (("a", "1", ()), ("b", "2", LATER)):
        ffmpeg(tmp_path / f"{name}.ts", *later, "-i", coded, "-vf", f"setsar={aspect}", "-c:v", "libx264")
    (tmp_path / "both.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    clips = normalise(tmp_path / "both.ts", "k", SMALL, tmp_path)
    assert [(clip["width"], clip["height"], clip["frames"]) for clip in clips] == [
        (160, 96, 20),
        (320, 96, 20),
    ]
    assert [clip.get("conversions") for clip in clips] == [None, {"sample_aspect": "2:1"}]


def test_another_resolution_of_one_shape_continues_the_clip(tmp_path: Path) -> None:
    small = ffmpeg(tmp_path / "a.ts", "-i", str(write_coded(tmp_path / "s.mp4", range(20))), "-c", "copy")
    large = ffmpeg(
        tmp_path / "b.ts", *LATER, "-i", str(tmp_path / "s.mp4"), "-vf", "scale=320:192", "-c:v", "libx264"
    )
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    [clip] = normalise(tmp_path / "both.ts", "k", SMALL, tmp_path)
    assert (clip["width"], clip["height"], clip["frames"]) == (160, 96, 40)
