"""Interlaced video becomes pictures without combs, and combs that nothing declares can be filtered out."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import RejectedError
from pipelines.ingest.filters import FilterConfig
from pipelines.ingest.samples import SampleSettings
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from tests.support.footage import ffmpeg, frames_of

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast", crf=10)
# A bar that moves eight pixels a field.
MOVING = (
    "color=0x303030:s=160x96:r=50:d=1[a];color=white:s=20x96:r=50:d=1[b];"
    "[a][b]overlay=x='8*n-20*floor(8*n/140)':y=0"
)
DECLARED = ("-flags", "+ilme+ildct", "-x264opts", "tff=1")


def write_fields(path: Path, *options: str) -> Path:
    """A video of 25 frames of two fields each."""
    graph = f"{MOVING},interlace=scan=tff:lowpass=off"
    return ffmpeg(path, "-filter_complex", graph, "-crf", "10", *options)


def combs(frame: np.ndarray) -> float:
    """How much more neighbouring lines differ than lines two apart."""
    luma = frame.mean(2)
    return float(np.abs(np.diff(luma, axis=0)).mean() - np.abs(luma[2:] - luma[:-2]).mean())


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_declared_fields_become_pictures(tmp_path: Path, container: str) -> None:
    source = write_fields(tmp_path / f"s.{container}", "-c:v", "libx264", *DECLARED)
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert (clip["frames"], clip["fps"]) == (25, 25.0)
    assert clip["conversions"] == {"deinterlaced": "bwdif"}
    assert max(combs(frame) for frame in frames_of(source)[2:-2]) > 5
    assert max(combs(frame) for frame in frames_of(tmp_path / "k-000.mp4")[2:-2]) < 1


def test_another_deinterlacer_is_used_and_recorded(tmp_path: Path) -> None:
    graph = "testsrc2=s=160x96:r=50:d=1,interlace=scan=tff:lowpass=off"
    source = ffmpeg(tmp_path / "s.mp4", "-filter_complex", graph, "-crf", "10", *DECLARED)
    made = []
    for name in ("bwdif", "yadif"):
        [clip] = normalise(source, "k", SMALL.model_copy(update={"deinterlacer": name}), tmp_path)
        assert clip["conversions"] == {"deinterlaced": name}
        made.append(frames_of(tmp_path / "k-000.mp4"))
    assert any((a != b).any() for a, b in zip(*made, strict=True))


def test_fields_can_be_kept_or_rejected(tmp_path: Path) -> None:
    source = write_fields(tmp_path / "s.mp4", *DECLARED)
    [clip] = normalise(source, "k", SMALL.model_copy(update={"interlaced": "keep"}), tmp_path)
    assert "conversions" not in clip
    assert max(combs(frame) for frame in frames_of(tmp_path / "k-000.mp4")) > 5
    with pytest.raises(RejectedError, match=r"interlaced: the frame at 0\.0 seconds"):
        normalise(source, "k", SMALL.model_copy(update={"interlaced": "reject"}), tmp_path)


def test_progressive_frames_among_interlaced_ones_are_unchanged(tmp_path: Path) -> None:
    fields = write_fields(tmp_path / "fields.ts", "-c:v", "libx264", *DECLARED)
    ffmpeg(tmp_path / "plain.ts", "-filter_complex", f"{MOVING},fps=25", "-c:v", "libx264", "-crf", "10")
    (tmp_path / "both.ts").write_bytes((tmp_path / "plain.ts").read_bytes() + fields.read_bytes())
    [clip] = normalise(tmp_path / "both.ts", "k", SMALL, tmp_path)
    [alone] = normalise(tmp_path / "plain.ts", "alone", SMALL, tmp_path)
    assert (clip["frames"], clip["conversions"]) == (50, {"deinterlaced": "bwdif"})
    both, plain = frames_of(tmp_path / "k-000.mp4"), frames_of(tmp_path / "alone-000.mp4")
    assert alone["frames"] == 25
    assert all(np.abs(a.astype(int) - b).mean() < 1 for a, b in zip(both[:25], plain, strict=True))
    assert max(combs(frame) for frame in both[26:-2]) < 1


def test_a_single_interlaced_frame_is_kept(tmp_path: Path) -> None:
    source = write_fields(tmp_path / "s.mp4", *DECLARED, "-frames:v", "1")
    [clip] = normalise(source, "k", SMALL, tmp_path)
    assert clip["frames"] == 1


def test_combs_that_nothing_declares_are_scored_and_filtered(tmp_path: Path) -> None:
    combed = write_fields(tmp_path / "combed.mp4")
    clean = ffmpeg(tmp_path / "clean.mp4", "-filter_complex", f"{MOVING},fps=25")
    limits = SampleSettings(short_side=96, filters=FilterConfig(max_combing=0.3))
    settings = limits.clip_settings()
    [bad], [good] = (normalise(path, "k", settings, tmp_path) for path in (combed, clean))
    assert bad["scores"]["combing"] > 0.8
    assert good["scores"]["combing"] < 0.1
    assert limits.filters.reason(seconds=1.0, scores=bad["scores"]) == "combed"
    assert limits.filters.reason(seconds=1.0, scores=good["scores"]) is None
    [unmeasured] = normalise(clean, "k", SMALL, tmp_path)
    assert "combing" not in unmeasured["scores"]
