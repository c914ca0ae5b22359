"""Colours are stored as those of BT.709 that a viewer of the source sees, or the file is rejected by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from tests.support.footage import ffmpeg, frames_of
from tests.support.pictures import corner_colours, corner_picture, distance, write_corners

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast", crf=10)
TONE_MAP = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=pc,format=gbrp"
)


def write_hdr(path: Path, transfer: str, *options: str) -> Path:
    """A video of high dynamic range; white has 203 cd/m² in PQ."""
    level = "203" if transfer == "smpte2084" else "1000"
    to_hdr = (
        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=gbrp,"
        f"zscale=tin=bt709:pin=bt709:t={transfer}:p=bt2020:m=bt2020nc:r=tv:npl={level},format=yuv420p10le"
    )
    plain = write_corners(path.with_suffix(".png.mkv"), codec="ffv1", pixel_format="bgr0")
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc")
    return ffmpeg(path, "-i", str(plain), "-vf", to_hdr, *tags, *options)


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "pq"), ("arib-std-b67", "hlg")])
def test_high_dynamic_range_is_tone_mapped_as_ffmpeg_does(tmp_path: Path, transfer: str, name: str) -> None:
    source = write_hdr(tmp_path / "s.mp4", transfer, "-crf", "8")
    [clip] = normalise(source, "k", SMALL, tmp_path)
    wanted = ffmpeg(tmp_path / "wanted.png", "-i", str(source), "-vf", TONE_MAP, "-frames:v", "1")
    picture = corner_colours(np.asarray(Image.open(wanted).convert("RGB")))
    assert distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), picture) < 10
    assert distance(corner_colours(np.asarray(Image.open(tmp_path / "k-000.jpg"))), picture) < 10
    assert clip["conversions"] == {"hdr": name, "gamut": "bt2020"}


@pytest.mark.parametrize(
    ("curve", "peak"), [("mobius", 1000), ("reinhard", 400), ("clip", 1000), ("hable", 4000)]
)
def test_the_curve_and_its_peak_are_those_of_ffmpeg_and_recorded(
    tmp_path: Path, curve: str, peak: float
) -> None:
    source = write_hdr(tmp_path / "s.mp4", "smpte2084", "-crf", "8")
    settings = SMALL.model_copy(update={"tone_curve": curve, "tone_peak": float(peak)})
    [clip] = normalise(source, "k", settings, tmp_path)
    chain = TONE_MAP.replace("tonemap=hable:", f"tonemap={curve}:peak={peak / 100}:")
    wanted = ffmpeg(tmp_path / "wanted.png", "-i", str(source), "-vf", chain, "-frames:v", "1")
    picture = corner_colours(np.asarray(Image.open(wanted).convert("RGB")))
    assert distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), picture) < 10
    assert clip["conversions"] == {"hdr": "pq", "tone": f"{curve}, peak {peak}", "gamut": "bt2020"}


def test_high_dynamic_range_is_rejected_if_that_is_configured(tmp_path: Path) -> None:
    source = write_hdr(tmp_path / "s.mp4", "smpte2084")
    with pytest.raises(RejectedError, match="hdr: pq"):
        normalise(source, "k", SMALL.model_copy(update={"hdr": "reject"}), tmp_path)


def test_a_wide_gamut_is_converted(tmp_path: Path) -> None:
    # Red of BT.709 has this linear light in the primaries of P3 (D65).
    red = [round(255 * light ** (1 / 2.4)) for light in (0.8225, 0.0332, 0.0171)]
    tags = {"color_primaries": 12, "color_trc": 1, "colorspace": 0, "color_range": 2}
    source = write_corners(
        tmp_path / "s.mkv", codec="libx264rgb", pixel_format="rgb24", tags=tags, colour=red, crf="0"
    )
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert distance([tuple(frames_of(tmp_path / "k-000.mp4")[0][40, 80])], [(255, 0, 0)]) < 10
    assert clip["conversions"] == {"gamut": "p3"}


@pytest.mark.parametrize(
    ("size", "matrix"), [((1280, 720), "bt709"), ((1280, 536), "bt709"), ((720, 576), None)]
)
def test_untagged_video_has_the_matrix_of_its_resolution(
    tmp_path: Path, size: tuple[int, int], matrix: str | None
) -> None:
    plain = write_corners(tmp_path / "plain.mkv", size=size, codec="ffv1", pixel_format="bgr0", frames=2)
    to_yuv = (
        f"scale=out_color_matrix={matrix or 'bt601'}:out_range=tv,format=yuv420p,setparams=colorspace=unknown"
    )
    source = ffmpeg(tmp_path / "s.ts", "-i", str(plain), "-vf", to_yuv, "-crf", "8", "-preset", "ultrafast")
    [clip] = normalise(source, "k", SMALL, tmp_path)
    wanted = corner_colours(corner_picture(*size))
    assert distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), wanted) < 6
    assert clip.get("conversions") == ({"matrix": matrix} if matrix else None)


@pytest.mark.parametrize(("size", "rule"), [((1280, 720), "bt601"), ((720, 576), "bt709")])
def test_a_rule_for_untagged_video_overrides_its_resolution(
    tmp_path: Path, size: tuple[int, int], rule: str
) -> None:
    plain = write_corners(tmp_path / "plain.mkv", size=size, codec="ffv1", pixel_format="bgr0", frames=2)
    unset = "setparams=colorspace=unknown:range=limited"  # FFmpeg would convert, or declare, the full range
    to_yuv = f"scale=out_color_matrix={rule}:out_range=pc,format=yuv420p,{unset}"
    source = ffmpeg(tmp_path / "s.avi", "-i", str(plain), "-vf", to_yuv, "-c:v", "mpeg4", "-q:v", "1")
    settings = SMALL.model_copy(update={"untagged": rule, "untagged_range": "full"})
    [clip] = normalise(source, "k", settings, tmp_path)
    wanted = corner_colours(corner_picture(*size))
    assert distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), wanted) < 6
    assert clip["conversions"] == {"matrix": rule, "range": "full"}


def test_a_rule_for_untagged_video_leaves_tagged_video_alone(tmp_path: Path) -> None:
    tags = {"colorspace": 1, "color_range": 1}
    source = write_corners(tmp_path / "s.mkv", tags=tags, crf="8")
    made = []
    for changes in ({}, {"untagged": "bt601", "untagged_range": "full"}):
        [clip] = normalise(source, "k", SMALL.model_copy(update=changes), tmp_path)
        made.append((clip, (tmp_path / "k-000.mp4").read_bytes()))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("tags", "detail"),
    [
        ({"matrix_coefficients": 14}, "colour matrix ICtCp"),
        ({"matrix_coefficients": 10}, "colour matrix BT.2020 with constant luminance"),
        ({"matrix_coefficients": 8}, "colour matrix YCgCo"),
        ({"matrix_coefficients": 11}, "colour matrix YDzDx"),
        ({"matrix_coefficients": 1, "transfer_characteristics": 8}, "linear transfer"),
        ({"matrix_coefficients": 1, "transfer_characteristics": 9}, "logarithmic transfer"),
    ],
)
def test_colours_that_cannot_be_read_are_rejected_by_name(
    tmp_path: Path, tags: dict[str, int], detail: str
) -> None:
    fields = ":".join(f"{name}={value}" for name, value in tags.items())
    plain = write_corners(tmp_path / "plain.mp4")
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(plain), "-c", "copy", "-bsf:v", f"h264_metadata={fields}")
    with pytest.raises(RejectedError, match=f"unsupported_colour: {detail}"):
        normalise(source, "k", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "container"),
    [
        ("libx264", "yuv444p", "mkv"),
        ("libx264", "yuv422p10le", "mkv"),
        ("libx264rgb", "rgb24", "mkv"),
        ("ffv1", "yuv420p16le", "mkv"),
        ("ffv1", "yuv411p", "mkv"),
        ("ffv1", "yuv410p", "mkv"),
        ("ffv1", "gbrp12le", "mkv"),
        ("ffv1", "yuva420p", "mkv"),
        ("mjpeg", "yuvj422p", "avi"),
        ("png", "rgba", "mov"),
        ("prores_ks", "yuva444p10le", "mov"),
        ("rawvideo", "uyvy422", "avi"),
        ("rawvideo", "bgr24", "avi"),
        ("qtrle", "rgb24", "mov"),
        ("ffvhuff", "yuv420p", "avi"),
        ("huffyuv", "rgb24", "avi"),
    ],
)
def test_every_layout_of_pixels_keeps_its_colours(
    tmp_path: Path, codec: str, pixel_format: str, container: str
) -> None:
    source = write_corners(tmp_path / f"s.{container}", codec=codec, pixel_format=pixel_format)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["frames"], clip["width"], clip["height"]) == (3, 160, 96)
    assert (
        distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), corner_colours(corner_picture())) < 12
    )


def test_a_grey_video_stays_grey(tmp_path: Path) -> None:
    source = write_corners(tmp_path / "s.mkv", codec="ffv1", pixel_format="gray16le")
    normalise(source, "k", SMALL, tmp_path)
    top_left = frames_of(tmp_path / "k-000.mp4")[0][10, 10].astype(int)
    assert np.ptp(top_left) < 4
    assert abs(top_left[0] - 80) < 6  # the luma of the red corner
