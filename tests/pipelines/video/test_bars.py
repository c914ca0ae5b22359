"""Dark borders are found where a video has them, cut off, measured or refused; dark scenes stay whole."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.errors import RejectedError
from pipelines.ingest.filters import FilterConfig
from pipelines.video import ClipSettings, Watermark
from pipelines.video.normalise import normalise
from tests.support.barred import write_barred
from tests.support.footage import ffmpeg, frames_of

CROP = ClipSettings(short_side=128, min_frames=1, preset="ultrafast", bars="crop", measure_bars=True)
QUARTER_TURN = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)


def found(path: Path, out: Path, settings: ClipSettings = CROP) -> list[int]:
    [clip] = normalise(path, "k", settings, out)
    return clip.get("conversions", {}).get("bars", [0, 0, 0, 0])


@pytest.mark.parametrize(
    "bars",
    [(0, 16, 0, 16), (40, 0, 40, 0), (0, 24, 0, 0), (0, 0, 30, 0), (20, 16, 28, 8), (0, 2, 0, 2)],
    ids=["letterbox", "pillarbox", "top alone", "right alone", "all sides", "two lines"],
)
def test_bars_are_found_and_cut_off(tmp_path: Path, bars: tuple[int, ...]) -> None:
    film = write_barred(tmp_path / "film.mp4", bars)
    [clip] = normalise(film, "k", CROP, tmp_path)
    left, top, right, bottom = bars
    assert clip["conversions"]["bars"] == list(bars)
    assert clip["width"] / clip["height"] == pytest.approx((192 - left - right) / (128 - top - bottom), 0.03)
    share = 1 - (192 - left - right) * (128 - top - bottom) / (192 * 128)
    assert clip["scores"]["bars"] == pytest.approx(share, abs=1e-4)
    picture = frames_of(tmp_path / "k-000.mp4")[15]
    edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    assert min(float(np.median(edge)) for edge in edges) > 40


def test_bars_of_noise_and_of_raised_black_are_found(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "tv.mp4", (0, 16, 0, 16), black=4, noise=1.5)
    assert found(film, tmp_path) == [0, 16, 0, 16]


def test_an_odd_bar_leaves_no_dark_line(tmp_path: Path) -> None:
    assert found(write_barred(tmp_path / "odd.mp4", (0, 15, 0, 17)), tmp_path) == [0, 16, 0, 17]


def test_a_file_with_many_key_frames_is_judged_by_these(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "keys.mp4", (0, 16, 0, 16), frames=60, gop=1)
    assert found(film, tmp_path) == [0, 16, 0, 16]


def night(picture: np.ndarray, number: int) -> None:
    """A black sky above a skyline, with a light that moves."""
    picture[:] = 0
    for column in range(0, picture.shape[1], 12):
        picture[70 + 23 * (column % 5) // 2 :, column : column + 12] = 90
    picture[30:33, 20 + number : 23 + number] = 230


def fading(picture: np.ndarray, number: int) -> None:
    picture[:] = (picture * min(1.0, number / 25)).astype(np.uint8)


def spotlit(picture: np.ndarray, number: int) -> None:
    """A sphere in black space."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    picture[:] = 0
    picture[(rows - 64) ** 2 + (columns - 90 - number / 3) ** 2 < 35**2] = 180


def titled(picture: np.ndarray, number: int) -> None:
    """White text on black, in the middle."""
    picture[:] = 0
    picture[58:70, 40:150:6] = 240


def gradient(picture: np.ndarray, number: int) -> None:
    """Dusk: black above, brighter below, with a straight horizon."""
    picture[:80] = (np.linspace(0, 16, 80)[:, None, None]).astype(np.uint8)
    picture[80:] = 120


def dark(picture: np.ndarray, number: int) -> None:
    picture[:] = 3


@pytest.mark.parametrize("scene", [night, fading, spotlit, titled, gradient, dark], ids=lambda s: s.__name__)
def test_dark_scenes_stay_whole(tmp_path: Path, scene) -> None:
    film = write_barred(tmp_path / "dark.mp4", change=scene)
    [clip] = normalise(film, "k", CROP, tmp_path)
    assert ("conversions" in clip, clip["scores"]["bars"]) == (False, 0.0)


def test_a_fade_within_bars_leaves_the_bars(tmp_path: Path) -> None:
    def change(picture: np.ndarray, number: int) -> None:
        fading(picture, number)

    assert found(write_barred(tmp_path / "f.mp4", (0, 16, 0, 16), change=change), tmp_path) == [0, 16, 0, 16]


def test_subtitles_in_a_bar_are_cut_off_with_it(tmp_path: Path) -> None:
    def subtitled(picture: np.ndarray, number: int) -> None:
        if 5 < number < 20:
            picture[114:120, 60:130:4] = 235

    film = write_barred(tmp_path / "subtitled.mp4", (0, 20, 0, 20), change=subtitled)
    assert found(film, tmp_path) == [0, 20, 0, 20]


def test_a_scene_without_bars_keeps_the_whole_picture(tmp_path: Path) -> None:
    def mixed(picture: np.ndarray, number: int) -> None:
        if 8 < number < 16:
            picture[:16], picture[-16:] = picture[16:32], picture[32:48]

    film = write_barred(tmp_path / "mixed.mp4", (0, 16, 0, 16), change=mixed)
    assert found(film, tmp_path) == [0, 0, 0, 0]


def test_bars_of_a_turned_video_and_of_wide_pixels_are_those_of_the_picture_as_shown(tmp_path: Path) -> None:
    turned = write_barred(tmp_path / "turned.mov", (24, 0, 16, 0), matrix=QUARTER_TURN)
    [clip] = normalise(turned, "k", CROP, tmp_path)
    assert sorted(clip["conversions"]["bars"]) == [0, 0, 16, 24]
    assert clip["conversions"]["bars"][0] == clip["conversions"]["bars"][2] == 0  # a letterbox when upright
    wide = write_barred(tmp_path / "wide.mp4", (0, 16, 0, 16), aspect=Fraction(4, 3))
    [clip] = normalise(wide, "k", CROP, tmp_path)
    assert clip["conversions"] == {"sample_aspect": "4:3", "bars": [0, 16, 0, 16]}
    assert clip["width"] / clip["height"] == pytest.approx(192 * 4 / 3 / 96, 0.02)


def test_a_watermark_box_counts_from_the_whole_frame(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "film.mp4", (0, 32, 0, 32))
    in_bar = Watermark(box=(0.0, 0.8, 0.3, 1.0), action="crop")
    [clip] = normalise(film, "k", CROP.model_copy(update={"watermark": in_bar}), tmp_path)
    assert (clip["width"], clip["height"]) == (192, 64)
    inside = Watermark(box=(0.75, 0.3, 1.0, 0.5), action="crop")
    [clip] = normalise(film, "k", CROP.model_copy(update={"watermark": inside}), tmp_path)
    assert (clip["width"], clip["height"]) == (144, 64)


def test_bars_are_refused_or_measured_without_a_crop(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "film.mp4", (0, 16, 0, 16))
    with pytest.raises(RejectedError, match="bars: left 0, top 16, right 0, bottom 16 of 192x128 pixels"):
        normalise(film, "k", CROP.model_copy(update={"bars": "reject"}), tmp_path)
    measured = CROP.model_copy(update={"bars": "keep"})
    [clip] = normalise(film, "k", measured, tmp_path)
    assert (clip["width"], clip["scores"]["bars"], "conversions" in clip) == (192, 0.25, False)
    reason = FilterConfig(max_bars=0.2).reason(seconds=2, scores=clip["scores"])
    assert (reason, FilterConfig(max_bars=0.3).reason(seconds=2, scores=clip["scores"])) == ("bars", None)
    [plain] = normalise(film, "k", CROP.model_copy(update={"bars": "keep", "measure_bars": False}), tmp_path)
    assert "bars" not in plain["scores"]


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.mkv", "film.h264"])
def test_bars_are_found_in_other_containers(tmp_path: Path, name: str) -> None:
    film = write_barred(tmp_path / "film.mp4", (0, 16, 0, 16), frames=8)
    other = ffmpeg(tmp_path / name, "-i", str(film))
    top, bottom = found(other, tmp_path)[1::2]
    assert abs(top - 16) <= 2 and abs(bottom - 16) <= 2


def test_colours_that_cannot_be_read_are_rejected_by_the_same_name(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "film.mp4", (0, 16, 0, 16))
    tags = ("-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=14")
    other = ffmpeg(tmp_path / "ictcp.mp4", "-i", str(film), *tags)
    with pytest.raises(RejectedError, match="unsupported_colour: colour matrix ICtCp"):
        normalise(other, "k", CROP, tmp_path)


def test_the_search_ends_where_a_video_is_too_long(tmp_path: Path) -> None:
    film = write_barred(tmp_path / "film.mp4", (0, 16, 0, 16), frames=60)
    settings = CROP.model_copy(update={"max_hours": 1 / 3600})
    with pytest.raises(RejectedError, match="source_too_long"):
        normalise(film, "k", settings, tmp_path)


def test_a_file_that_is_damaged_midway_is_rejected_as_without_the_search(tmp_path: Path) -> None:
    data = bytearray(write_barred(tmp_path / "film.mp4", (0, 16, 0, 16), frames=60, gop=1).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    (tmp_path / "damaged.mp4").write_bytes(data)
    reasons = set()
    for bars in ("keep", "crop"):
        with pytest.raises(RejectedError) as error:
            settings = ClipSettings(short_side=128, min_frames=1, preset="ultrafast", bars=bars)
            normalise(tmp_path / "damaged.mp4", "k", settings, tmp_path)
        reasons.add(error.value.reason)
    assert reasons == {"corrupt"}
