"""The main stream of a file is read, at the times that its clock means."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from pipelines.video.probe import probe
from tests.support.footage import ffmpeg, frame_number, frames_of, write_coded

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast", crf=10)


def numbers(path: Path) -> list[int]:
    return [frame_number(frame) for frame in frames_of(path)]


def test_the_larger_stream_is_read_whatever_their_order(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "coded.mp4", range(20))
    thumbnail = ffmpeg(tmp_path / "t.mp4", "-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=0.2")
    for order in ((thumbnail, coded), (coded, thumbnail)):
        inputs = [argument for path in order for argument in ("-i", str(path))]
        maps = ("-map", "0", "-map", "1", "-c", "copy", "-default_mode", "passthrough", "-disposition:v", "0")
        source = ffmpeg(tmp_path / "s.mkv", *inputs, *maps)
        normalise(source, "k", SMALL, tmp_path)
        assert numbers(tmp_path / "k-000.mp4") == list(range(20))


def test_the_default_stream_is_read_before_a_slightly_larger_one(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "coded.mkv", range(20))
    other = ffmpeg(tmp_path / "t.mkv", "-f", "lavfi", "-i", "color=red:s=192x128:r=25:d=0.8")
    maps = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default")
    source = ffmpeg(tmp_path / "s.mkv", "-i", str(other), "-i", str(coded), *maps)
    normalise(source, "k", SMALL, tmp_path)
    assert numbers(tmp_path / "k-000.mp4") == list(range(20))


def test_a_cover_picture_is_never_the_video(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "coded.mp4", range(20))
    cover = ffmpeg(
        tmp_path / "cover.png", "-f", "lavfi", "-i", "color=red:s=640x640:d=0.04", "-frames:v", "1"
    )
    maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    source = ffmpeg(tmp_path / "s.mp4", "-i", str(coded), "-i", str(cover), *maps)
    normalise(source, "k", SMALL, tmp_path)
    assert numbers(tmp_path / "k-000.mp4") == list(range(20))


def test_joined_recordings_keep_all_frames_and_their_rate(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 50)):
        coded = write_coded(tmp_path / f"{name}.mp4", range(first + 50))
        cut = ("-vf", f"select=gte(n\\,{first}),setpts=PTS-STARTPTS", "-c:v", "libx264", "-crf", "12")
        ffmpeg(tmp_path / f"{name}.ts", "-i", str(coded), *cut)
    parts = [(tmp_path / f"{name}.ts").read_bytes() for name in "ab"]
    (tmp_path / "s.ts").write_bytes(b"".join(parts))
    [clip] = normalise(tmp_path / "s.ts", "k", SMALL, tmp_path)
    assert (clip["frames"], clip["fps"], clip["duration"]) == (100, 25.0, 4.0)
    assert numbers(tmp_path / "k-000.mp4") == list(range(100))


def test_reordered_frames_are_no_restart_of_the_clock(tmp_path: Path) -> None:
    coded = write_coded(tmp_path / "s.mp4", range(60), rate=5, bf="3")
    source = ffmpeg(tmp_path / "s.mkv", "-i", str(coded), "-c", "copy")
    info = probe(source)
    assert (info.rate, info.restarts) == (Fraction(5), False)


def test_how_long_a_frame_may_be_held_is_a_setting(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mkv", [*range(30), *range(380, 410)])
    with pytest.raises(
        RejectedError, match="broken_timestamps: 14 seconds without a frame, more than hold_sec"
    ):
        normalise(source, "k", SMALL, tmp_path)
    [clip] = normalise(source, "k", SMALL.model_copy(update={"hold_seconds": 20.0, "fps": 25.0}), tmp_path)
    assert clip["frames"] in range(409, 420)
    found = numbers(tmp_path / "k-000.mp4")
    assert found[:30] == list(range(30))
    assert set(found[30:380]) == {29}


def test_videos_longer_than_the_limit_are_rejected_by_name(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mkv", [9 * number for number in range(250)], rate=1)
    with pytest.raises(RejectedError, match=r"source_too_long: more than 0\.5 hours \(max_hours\)"):
        normalise(source, "k", SMALL.model_copy(update={"max_hours": 0.5}), tmp_path)


@pytest.mark.parametrize("container", ["mkv", "ts", "nut", "flv"])
@pytest.mark.parametrize("start", [0.0, 40000.0])
def test_the_start_of_the_clock_does_not_matter(tmp_path: Path, container: str, start: float) -> None:
    coded = write_coded(tmp_path / "coded.mp4", range(40))
    options = ("-c", "copy", "-copyts", "-muxdelay", "0")
    source = ffmpeg(tmp_path / f"s.{container}", "-itsoffset", str(start), "-i", str(coded), *options)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["frames"], clip["fps"]) == (40, 25.0)


def test_a_stream_without_packets_is_named(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        container.start_encoding()
    with pytest.raises(RejectedError, match="not_a_video: matroska,webm, damaged"):
        normalise(tmp_path / "s.mkv", "k", SMALL, tmp_path)
