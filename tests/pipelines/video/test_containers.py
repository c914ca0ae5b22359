"""Every common container is read whole; what is not read is named."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from tests.support.footage import coded_frame, ffmpeg, frame_number, frames_of, write_coded
from tests.support.pictures import corner_colours, corner_picture, distance

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast", crf=10)
BARS = ("-f", "lavfi", "-i", "testsrc2=s=352x288:r=25:d=0.8")


def numbers(path: Path) -> list[int]:
    return [frame_number(frame) for frame in frames_of(path)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("s.gif", ()),
        ("s.apng", ("-f", "apng")),
        ("s.y4m", ("-pix_fmt", "yuv420p")),
        ("s.nut", ("-c:v", "ffv1")),
        ("s.ivf", ("-c:v", "libvpx-vp9", "-deadline", "realtime")),
        ("s.264", ("-c:v", "libx264")),
        ("s.265", ("-c:v", "libx265", "-x265-params", "log-level=none")),
        ("s.m4v", ("-c:v", "mpeg4", "-q:v", "2")),
        ("s.m2v", ("-c:v", "mpeg2video", "-q:v", "2")),
        ("s.mpg", ("-c:v", "mpeg1video", "-q:v", "2")),
        ("s.flv", ("-c:v", "flv1", "-q:v", "2")),
        ("s.wmv", ("-c:v", "wmv2", "-q:v", "2")),
        ("s.ogv", ("-c:v", "libtheora", "-q:v", "10")),
        ("s.avi", ("-c:v", "mpeg4", "-q:v", "2", "-bf", "2")),
        ("s.3gp", ("-c:v", "mpeg4", "-q:v", "2")),
        ("s.mov", ("-c:v", "prores_ks")),
    ],
)
def test_every_frame_of_every_container_is_read(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    coded = write_coded(tmp_path / "coded.mkv", range(20))
    source = ffmpeg(tmp_path / name, "-i", str(coded), *options)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["frames"], clip["fps"]) == (20, 25.0)
    assert numbers(tmp_path / "k-000.mp4") == list(range(20))


@pytest.mark.parametrize(
    ("name", "options", "conversions"),
    [
        ("s.dv", ("-target", "pal-dv"), {"deinterlaced": "bwdif", "sample_aspect": "16:15"}),
        ("s.mxf", ("-c:v", "mpeg2video", "-an"), {}),
        ("s.vob", ("-target", "pal-dvd", "-aspect", "16:9"), {"sample_aspect": "64:45"}),
    ],
)
def test_recordings_of_cameras_and_discs_are_read(
    tmp_path: Path, name: str, options: tuple[str, ...], conversions: dict[str, str]
) -> None:
    source = ffmpeg(tmp_path / name, *BARS, *options)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert clip["fps"] == 25.0
    assert clip["frames"] in (20, 21)
    assert clip.get("conversions", {}) == conversions


def test_an_animated_webp_is_read_with_its_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(coded_frame(number)) for number in range(12)]
    durations = [40] * 6 + [80] * 6
    source = tmp_path / "s.webp"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=durations, lossless=True)
    [clip] = normalise(source, "k", SMALL.model_copy(update={"fps": 25.0}), tmp_path)
    wanted = [*range(6), *(number for number in range(6, 12) for _ in range(2))]
    assert numbers(tmp_path / "k-000.mp4")[: len(wanted) - 1] == wanted[:-1]
    assert clip["duration"] == pytest.approx(0.72, abs=0.05)


def test_transparent_parts_of_a_webp_become_white(tmp_path: Path) -> None:
    pixels = np.dstack([corner_picture(), np.full((96, 160), 255, np.uint8)])
    pixels[:48, :80, 3] = 0
    pictures = [Image.fromarray(np.roll(pixels, step, axis=1)) for step in (0, 1)]
    pictures[0].save(tmp_path / "s.webp", save_all=True, append_images=pictures[1:], lossless=True)
    normalise(tmp_path / "s.webp", "k", SMALL, tmp_path)
    wanted = [(255, 255, 255), *corner_colours(corner_picture())[1:]]
    assert distance(corner_colours(frames_of(tmp_path / "k-000.mp4")[0]), wanted) < 10


def test_pictures_that_do_not_move_are_not_videos(tmp_path: Path) -> None:
    picture = Image.fromarray(corner_picture())
    for suffix, detail in (("webp", "does not move"), ("png", "png_pipe"), ("jpg", "jpeg_pipe")):
        picture.save(tmp_path / f"s.{suffix}")
        with pytest.raises(RejectedError, match=f"not_a_video: .*{detail}"):
            normalise(tmp_path / f"s.{suffix}", "k", SMALL, tmp_path)


@pytest.mark.parametrize(("suffix", "name"), [("rm", "rm"), ("swf", "swf"), ("gxf", "gxf")])
def test_a_container_that_is_not_supported_is_named(tmp_path: Path, suffix: str, name: str) -> None:
    options = ("-target", "pal-dvd", "-f", "gxf") if suffix == "gxf" else ()
    source = ffmpeg(tmp_path / f"s.{suffix}", *BARS, *options)
    with pytest.raises(RejectedError, match=f"container_not_supported: {name}"):
        normalise(source, "k", SMALL, tmp_path)


@pytest.mark.parametrize(
    "tail",
    [
        b"\r\n--boundary-of-an-upload--\r\n" * 3,
        bytes(100),
        b"\0\0\0\1",
        struct.pack(">I4s", 1 << 20, b"free"),
        b"TAG" + bytes(125),
    ],
    ids=["text", "zeros", "four", "free", "id3"],
)
def test_bytes_after_the_last_box_are_ignored(tmp_path: Path, tail: bytes) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    source.write_bytes(source.read_bytes() + tail)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert clip["frames"] == 20


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_a_file_cut_inside_its_contents_is_truncated(tmp_path: Path, flags: str) -> None:
    coded = write_coded(tmp_path / "coded.mp4", range(60), g="10")
    data = ffmpeg(tmp_path / "s.mp4", "-i", str(coded), "-c", "copy", "-movflags", flags).read_bytes()
    last = data.rindex(b"mdat")
    for offset in (last + 8, last + 200):
        (tmp_path / "s.mp4").write_bytes(data[:offset])
        with pytest.raises(RejectedError, match="truncated"):
            normalise(tmp_path / "s.mp4", "k", SMALL, tmp_path)


def test_a_gif_cut_inside_a_frame_is_truncated(tmp_path: Path) -> None:
    source = ffmpeg(tmp_path / "s.gif", "-i", str(write_coded(tmp_path / "coded.mkv", range(20))))
    data = source.read_bytes()
    for length in (20, len(data) // 3, len(data) * 2 // 3, len(data) - 2):
        source.write_bytes(data[:length])
        with pytest.raises(RejectedError, match="truncated"):
            normalise(source, "k", SMALL, tmp_path)
    for whole in (data[:-1], data + b"trailing bytes"):
        source.write_bytes(whole)
        assert normalise(source, "k", SMALL, tmp_path)[0]["frames"] == 20


def test_a_cut_webp_is_truncated_and_a_damaged_one_corrupt(tmp_path: Path) -> None:
    pictures = [Image.fromarray(coded_frame(number)) for number in range(12)]
    source = tmp_path / "s.webp"
    pictures[0].save(source, save_all=True, append_images=pictures[1:], lossless=True)
    data = source.read_bytes()
    for length in (100, len(data) // 2, len(data) - 2):
        source.write_bytes(data[:length])
        with pytest.raises(RejectedError, match="truncated"):
            normalise(source, "k", SMALL, tmp_path)
    middle = len(data) // 2
    source.write_bytes(data[:middle] + bytes(200) + data[middle + 200 :])
    with pytest.raises(RejectedError, match="corrupt"):
        normalise(source, "k", SMALL, tmp_path)


def with_subtitle(path: Path, coded: Path, seconds: int) -> Path:
    text = path.with_suffix(".srt")
    text.write_text(f"1\n00:00:00,000 --> 00:{seconds // 60:02d}:{seconds % 60:02d},000\nhello\n")
    return ffmpeg(path, "-i", str(coded), "-i", str(text), "-c", "copy", "-c:s", "srt")


def test_a_subtitle_may_outlast_the_pictures(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "coded.mkv", range(50))
    [clip] = normalise(with_subtitle(tmp_path / "s.mkv", coded, 90), "k", SMALL, tmp_path)
    assert clip["frames"] == 50


def test_pictures_that_end_early_beside_a_long_subtitle_are_truncated(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "coded.mkv", range(250))
    source = with_subtitle(tmp_path / "s.mkv", coded, 90)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    with pytest.raises(RejectedError, match="truncated"):
        normalise(source, "k", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a Git LFS pointer, not the file itself",
        ),
        (b"%PDF-1.7\n" + bytes(99), "a PDF file"),
    ],
)
def test_what_is_no_video_is_named_for_what_it_is(tmp_path, content, kind):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(RejectedError, match=f"^not_a_video: {kind}$"):
        list(normalise(tmp_path / "x.mp4", "x", SMALL, tmp_path))
