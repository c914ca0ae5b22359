"""Further encodings of a clip: sizes, rates and frames, what is skipped, and that the clip stays the same."""

from pathlib import Path

import av
import pytest
from pydantic import ValidationError

from core.errors import RejectedError
from pipelines.video import ClipSettings, Rung
from pipelines.video.normalise import normalise
from tests.support.footage import ffmpeg, frame_number, frames_of, write_coded

LADDER = [Rung(short_side=48), Rung(short_side=64, fps=10), Rung(short_side=512)]
CLIP = {"short_side": 96, "min_frames": 1, "preset": "ultrafast"}


def settings(**changes: object) -> ClipSettings:
    return ClipSettings.model_validate({**CLIP, "ladder": LADDER, **changes})


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coded(tmp_path_factory.mktemp("film") / "film.mp4", range(50))


def test_each_rung_has_its_size_its_rate_and_the_frames_of_its_times(film: Path, tmp_path: Path) -> None:
    [clip] = normalise(film, "k", settings(), tmp_path)
    assert clip["rungs"] == [
        {"rung": "48", "width": 80, "height": 48, "fps": 25.0, "frames": 50},
        {"rung": "64x10", "width": 106, "height": 64, "fps": 10.0, "frames": 20},
    ]
    assert clip["rungs_skipped"] == ["512"]
    assert [frame_number(frame) for frame in frames_of(tmp_path / "k-000.48.mp4")] == list(range(50))
    with av.open(str(tmp_path / "k-000.64x10.mp4")) as slow:
        stream = slow.streams.video[0]
        assert (stream.average_rate, stream.width, stream.height) == (10, 106, 64)
    numbers = [frame_number(frame) for frame in frames_of(tmp_path / "k-000.64x10.mp4")]
    assert numbers == [int(number * 2.5 + 0.5) for number in range(20)]
    assert "keyint=10" in clip["encoders"]["64x10.mp4"]["options"]["x264-params"]


def test_the_clip_itself_is_the_same_with_and_without_a_ladder(film: Path, tmp_path: Path) -> None:
    made = {}
    for name, ladder in (("with", LADDER), ("without", [])):
        (tmp_path / name).mkdir()
        [clip] = normalise(film, "k", settings(ladder=ladder), tmp_path / name)
        made[name] = clip
    for file in ("k-000.mp4", "k-000.jpg"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
    assert not list((tmp_path / "without").glob("*.*.mp4"))
    further = ("rungs", "rungs_skipped", "encoders")
    plain = [{name: clip[name] for name in clip if name not in further} for clip in made.values()]
    assert plain[0] == plain[1]


def test_rungs_larger_than_the_video_follow_the_rule_for_small_videos(film: Path, tmp_path: Path) -> None:
    ladder = [Rung(short_side=120)]
    with pytest.raises(RejectedError, match="too_small"):
        normalise(film, "k", settings(small="reject", ladder=ladder), tmp_path)
    [clip] = normalise(film, "k", settings(small="enlarge", ladder=ladder), tmp_path)
    assert [(rung["width"], rung["height"]) for rung in clip["rungs"]] == [(200, 120)]
    assert "rungs_skipped" not in clip


def test_a_rung_equal_to_the_clip_is_skipped(film: Path, tmp_path: Path) -> None:
    [clip] = normalise(film, "k", settings(ladder=[Rung(short_side=96, fps=60)]), tmp_path)
    assert ("rungs" in clip, clip["rungs_skipped"]) == (False, ["96x60"])


def test_rungs_that_come_out_equal_are_made_once(film: Path, tmp_path: Path) -> None:
    ladder = [Rung(short_side=48), Rung(short_side=48, fps=50)]
    [clip] = normalise(film, "k", settings(ladder=ladder), tmp_path)
    assert ([rung["rung"] for rung in clip["rungs"]], clip["rungs_skipped"]) == (["48"], ["48x50"])


def test_every_window_has_its_rungs_and_dropped_rests_leave_none(film: Path, tmp_path: Path) -> None:
    clips = normalise(film, "k", settings(clip_seconds=0.8), tmp_path)
    assert [clip["frames"] for clip in clips] == [20, 20]
    assert [[rung["frames"] for rung in clip["rungs"]] for clip in clips] == [[20, 8], [20, 8]]
    second = [frame_number(frame) for frame in frames_of(tmp_path / "k-001.64x10.mp4")]
    assert second[0] == 20
    assert len(list(tmp_path.glob("*.mp4"))) == 6


def test_a_clip_ends_where_another_resolution_allows_other_rungs(film: Path, tmp_path: Path) -> None:
    parts = (("small", "160:96", "0"), ("large", "320:192", "10"))
    for name, size, begin in parts:
        options = ("-vf", f"scale={size}", "-c:v", "libx264", "-output_ts_offset", begin)
        ffmpeg(tmp_path / f"{name}.ts", "-i", str(film), *options)
    joined = b"".join((tmp_path / f"{name}.ts").read_bytes() for name, _, _ in parts)
    (tmp_path / "both.ts").write_bytes(joined)
    both = normalise(tmp_path / "both.ts", "k", settings(ladder=[Rung(short_side=120)]), tmp_path)
    assert [clip.get("rungs_skipped") for clip in both] == [["120"], None]
    assert [clip["width"] for clip in both] == [160, 160]
    [alone] = normalise(tmp_path / "both.ts", "alone", settings(ladder=[]), tmp_path)
    assert alone["frames"] == sum(clip["frames"] for clip in both)


def test_overlapping_spans_share_a_decoded_frame(film: Path, tmp_path: Path) -> None:
    clips = normalise(film, "k", settings(), tmp_path, spans=[(0.0, 1.0), (0.2, 1.2)])
    assert [[rung["frames"] for rung in clip["rungs"]] for clip in clips] == [[25, 10], [25, 10]]
    assert frame_number(frames_of(tmp_path / "k-001.64x10.mp4")[2]) == 5 + 5


@pytest.mark.parametrize(
    ("ladder", "named"),
    [
        ([{"short_side": 48}, {"short_side": 48}], "48 more than once"),
        ([{"short_side": 96}], "the clip itself"),
        ([{"short_side": 14}], "greater than or equal to 16"),
        ([{"short_side": 48, "fps": 0}], "0.1"),
        ([{"short_side": 48, "rate": 5}], "rate"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(ladder: list[dict[str, int]], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(ladder=ladder)
