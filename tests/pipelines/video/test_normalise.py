"""Any source becomes clips that every library decodes exactly."""

import io
from pathlib import Path

import av
import decord
import numpy as np
import pytest
from PIL import Image

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from tests.support.footage import ffmpeg, frame_number, frames_of, write_coded

SMALL = ClipSettings(short_side=96, min_frames=1)


def decord_numbers(path: Path) -> list[int]:
    reader = decord.VideoReader(io.BytesIO(path.read_bytes()), num_threads=1)
    return [frame_number(frame) for frame in reader.get_batch(range(len(reader))).asnumpy()]


def test_every_frame_of_a_constant_rate_source_is_kept_exactly(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "source.mp4", range(60))
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["frames"], clip["fps"], clip["duration"]) == (60, 25.0, 2.4)
    assert decord_numbers(tmp_path / "k-000.mp4") == list(range(60))
    assert [frame_number(frame) for frame in frames_of(tmp_path / "k-000.mp4")] == list(range(60))


def test_a_variable_rate_source_is_sampled_by_time(tmp_path: Path) -> None:
    times = [*range(20), *range(20, 50, 3), *range(50, 70)]
    source = ffmpeg(tmp_path / "vfr.mp4", "-i", str(write_coded(tmp_path / "cfr.mkv", times)), "-c", "copy")
    [clip] = normalise(source, "k", SMALL.model_copy(update={"fps_max": 12.5}), tmp_path)
    numbers = decord_numbers(tmp_path / "k-000.mp4")
    assert clip["fps"] == 12.5
    assert clip["frames"] == len(numbers) == 35
    for tick, number in enumerate(numbers):
        assert abs(times[number] - 2 * tick) <= 3


def test_two_frames_an_hour_apart_are_rejected(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "slow.mkv", [0, 90_000])
    with pytest.raises(RejectedError, match="broken_timestamps"):
        normalise(source, "k", SMALL, tmp_path)


def test_a_rate_above_the_limit_is_lowered_by_dropping_frames(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "fast.mp4", range(60), rate=60)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["fps"], clip["frames"]) == (30.0, 30)
    steps = np.diff(decord_numbers(tmp_path / "k-000.mp4"))
    assert set(steps) == {2}


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_tags_are_applied(tmp_path: Path, degrees: int) -> None:
    upright = write_coded(tmp_path / "upright.mp4", range(20))
    turned = ffmpeg(
        tmp_path / "turned.mp4", "-display_rotation", str(degrees), "-i", str(upright), "-c", "copy"
    )
    reference = ffmpeg(tmp_path / "reference.mp4", "-i", str(turned), "-crf", "12")
    [clip] = normalise(turned, "k", SMALL, tmp_path)
    ours, theirs = frames_of(tmp_path / "k-000.mp4")[5], frames_of(reference)[5]
    assert ours.shape == theirs.shape
    assert (clip["width"] < clip["height"]) == (degrees != 180)
    assert np.abs(ours.astype(int) - theirs).mean() < 4


def test_colours_survive(tmp_path: Path) -> None:
    source = ffmpeg(
        tmp_path / "red.mp4", "-f", "lavfi", "-i", "color=0xC02030:s=192x128:r=24:d=1", "-pix_fmt", "yuv444p"
    )
    normalise(source, "k", SMALL, tmp_path)
    wanted = np.array([0xC0, 0x20, 0x30])
    for pixels in (frames_of(tmp_path / "k-000.mp4")[3], np.asarray(Image.open(tmp_path / "k-000.jpg"))):
        assert np.abs(pixels.reshape(-1, 3).mean(0) - wanted).max() < 5


def test_a_long_source_is_cut_into_equal_windows(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "long.mp4", range(70))
    settings = SMALL.model_copy(update={"clip_seconds": 0.8})
    clips = normalise(source, "k", settings, tmp_path)
    assert [(clip["key"], clip["start"], clip["frames"]) for clip in clips] == [
        ("k-000", 0.0, 20),
        ("k-001", 0.8, 20),
        ("k-002", 1.6, 20),
    ]
    assert decord_numbers(tmp_path / "k-001.mp4") == list(range(20, 40))
    assert len(normalise(source, "k", settings.model_copy(update={"max_clips": 2}), tmp_path)) == 2
    [whole] = normalise(source, "k", settings.model_copy(update={"clip_seconds": 60.0}), tmp_path)
    assert whole["frames"] == 70


def test_a_clip_can_be_decoded_from_anywhere_at_low_cost(tmp_path: Path) -> None:
    loud = ffmpeg(
        tmp_path / "loud.mp4",
        *("-f", "lavfi", "-i", "testsrc2=s=351x203:r=30:d=3", "-f", "lavfi", "-i", "sine=d=3"),
    )
    [clip] = normalise(loud, "k", SMALL, tmp_path)
    assert (clip["width"], clip["height"]) == (166, 96)
    with av.open(str(tmp_path / "k-000.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].average_rate == 30
        packets = [packet for packet in container.demux() if packet.size]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
    assert packets[0].pts == 0
    assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == [0, 30, 60]
    data = (tmp_path / "k-000.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"elst" not in data


def test_small_sources_are_not_enlarged(tmp_path: Path) -> None:
    [clip] = normalise(write_coded(tmp_path / "s.mp4", range(20)), "k", ClipSettings(), tmp_path)
    assert (clip["width"], clip["height"]) == (160, 96)


def test_a_stream_copied_cut_with_an_edit_list_is_accepted(tmp_path: Path) -> None:
    whole = write_coded(tmp_path / "whole.mp4", range(80), g="40")
    cut = ffmpeg(tmp_path / "cut.mp4", "-ss", "0.6", "-i", str(whole), "-c", "copy")
    assert b"elst" in cut.read_bytes()
    normalise(cut, "k", SMALL, tmp_path)
    numbers = decord_numbers(tmp_path / "k-000.mp4")
    assert numbers == list(range(numbers[0], 80))
    assert numbers[0] in range(13, 18)


def test_the_conditioning_image_is_the_recorded_frame(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(50))
    drawn = set()
    for key in "abcdefgh":
        [clip] = normalise(source, key, SMALL, tmp_path)
        image = np.asarray(Image.open(tmp_path / f"{key}-000.jpg"))
        assert frame_number(image) == clip["condition_frame"]
        drawn.add(clip["condition_frame"])
    assert len(drawn) > 3
    [again] = normalise(source, "a", SMALL, tmp_path)
    others = [
        normalise(source, "a", SMALL.model_copy(update={"seed": seed}), tmp_path)[0]["condition_frame"]
        for seed in (0, 1, 2, 3)
    ]
    assert again["condition_frame"] == others[0]
    assert len(set(others)) > 1


def test_every_part_of_the_clip_is_drawn_equally_often(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(10), preset="ultrafast")
    quick = SMALL.model_copy(update={"preset": "ultrafast"})
    drawn = [normalise(source, f"k{n}", quick, tmp_path)[0]["condition_frame"] for n in range(120)]
    assert min(np.bincount(drawn, minlength=10)) >= 3  # 12 expected of each; below 3 once in 500 such tests


def test_a_gap_in_the_timestamps_is_rejected(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "gap.mkv", [*range(20), *range(1000, 1020)])
    with pytest.raises(RejectedError, match="broken_timestamps"):
        normalise(source, "k", SMALL, tmp_path)


def test_a_cut_webm_is_truncated(tmp_path: Path) -> None:
    webm = ffmpeg(tmp_path / "a.webm", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=4", "-c:v", "libvpx")
    assert normalise(webm, "k", SMALL, tmp_path)[0]["frames"] == 100
    webm.write_bytes(webm.read_bytes()[: webm.stat().st_size // 3])
    with pytest.raises(RejectedError, match="truncated"):
        normalise(webm, "k", SMALL, tmp_path)


def test_motion_and_brightness_distinguish_clips(tmp_path: Path) -> None:
    def scores(source: str) -> dict[str, float]:
        path = ffmpeg(tmp_path / "s.mp4", "-f", "lavfi", "-i", f"{source}s=128x96:r=24:d=1")
        scores: dict[str, float] = normalise(path, "k", SMALL, tmp_path)[0]["scores"]
        return scores

    still, moving = scores("color=0x202020:"), scores("testsrc2=")
    assert still["motion"] < 0.1 < 2 < moving["motion"]
    assert still["brightness"] == pytest.approx(16 + 32 * 219 / 255, abs=2)
