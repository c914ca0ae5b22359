"""How a video is cut into clips, their size and rate, and what is recorded of each."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from core.errors import RejectedError
from pipelines.video import ClipSettings, Watermark
from pipelines.video.normalise import normalise
from tests.support.footage import frame_number, frames_of, write_coded

SMALL = ClipSettings(short_side=96, min_frames=1, preset="ultrafast")


def with_changes(**changes: object) -> ClipSettings:
    return ClipSettings.model_validate({**SMALL.model_dump(), **changes})


def write_scenes(path: Path, lengths: list[int], rate: int = 20) -> Path:
    """A film whose scenes have nothing in common; within one, a bar moves over constant noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for scene, length in enumerate(lengths):
            ground = np.random.default_rng(scene).integers(40, 200, (12, 20, 3), np.uint8)
            for number in range(length):
                picture = ground.repeat(8, axis=0).repeat(8, axis=1)
                picture[:, number % 150 : number % 150 + 6] = 240
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def spans(clips: list[dict]) -> list[tuple[float, int]]:
    return [(clip["start"], clip["frames"]) for clip in clips]


def test_clips_end_where_the_scene_does(tmp_path: Path) -> None:
    film = write_scenes(tmp_path / "film.mp4", [24, 40, 31])
    assert spans(normalise(film, "k", SMALL, tmp_path)) == [(0.0, 95)]
    clips = normalise(film, "k", with_changes(scene_threshold=10), tmp_path)
    assert spans(clips) == [(0.0, 24), (1.2, 40), (3.2, 31)]
    assert [clip["key"] for clip in clips] == ["k-000", "k-001", "k-002"]


def test_windows_do_not_cross_a_cut(tmp_path: Path) -> None:
    film = write_scenes(tmp_path / "film.mp4", [24, 45, 12])
    windows = {"scene_threshold": 10, "clip_seconds": 1.0}
    cut = normalise(film, "k", with_changes(**windows), tmp_path)
    assert spans(cut) == [(0.0, 20), (1.2, 20), (2.2, 20), (3.45, 12)]
    kept = normalise(film, "k", with_changes(**windows, rest_seconds=0.25), tmp_path)
    assert spans(kept) == [(0.0, 20), (1.2, 20), (2.2, 20), (3.2, 5), (3.45, 12)]
    assert len({clip["key"] for clip in kept}) == 5
    assert not list(tmp_path.glob("*-005*"))


def test_clips_that_are_too_short_do_not_count_towards_the_maximum(tmp_path: Path) -> None:
    film = write_scenes(tmp_path / "film.mp4", [5, 30, 5, 30, 30])
    settings = with_changes(scene_threshold=10, min_frames=16, max_clips=2)
    clips = normalise(film, "k", settings, tmp_path)
    assert [clip["frames"] for clip in clips] == [5, 30, 5, 30]


def test_a_configured_rate_repeats_or_drops_frames(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(50))
    for fps, frames in ((50.0, 100), (10.0, 20), (25.0, 50)):
        [clip] = normalise(source, "k", with_changes(fps=fps), tmp_path)
        assert (clip["fps"], clip["frames"]) == (fps, frames)
        numbers = [frame_number(frame) for frame in frames_of(tmp_path / "k-000.mp4")]
        wanted = [tick * 25 / fps for tick in range(frames)]
        assert max(abs(number - place) for number, place in zip(numbers, wanted, strict=True)) <= 1


def test_small_sources_are_kept_enlarged_or_rejected(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    sizes = {}
    for small in ("keep", "enlarge"):
        [clip] = normalise(source, "k", with_changes(short_side=128, small=small), tmp_path)
        sizes[small] = clip["width"], clip["height"]
    assert sizes == {"keep": (160, 96), "enlarge": (214, 128)}
    with pytest.raises(RejectedError, match="too_small: 160x96"):
        normalise(source, "k", with_changes(short_side=128, small="reject"), tmp_path)


def test_a_watermark_is_cut_off_with_the_least_loss(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(40))  # its number is in the top sixth
    mark = {"box": [0.1, 0.7, 0.9, 0.95], "action": "crop"}
    [clip] = normalise(source, "k", with_changes(watermark=mark, short_side=64), tmp_path)
    assert (clip["width"], clip["height"]) == (156, 64)
    pixels = frames_of(tmp_path / "k-000.mp4")[21]
    whole = frames_of(source)[21][:66]
    small = np.asarray(Image.fromarray(whole).resize((156, 64)))
    assert np.abs(pixels.astype(int) - small).mean() < 6
    assert clip["watermark"]["box"] == mark["box"]


def test_a_watermark_is_named_in_the_caption_or_only_recorded() -> None:
    box = (0.0, 0.0, 0.2, 0.2)
    assert Watermark(box=box).caption("a cat") == "a cat"
    assert Watermark(box=box, action="tag").caption("a cat") == "a cat, watermark"
    for wrong in ((0.5, 0, 0.2, 1), (0, 0, 1.2, 1)):
        with pytest.raises(ValidationError, match="fractions"):
            Watermark(box=wrong)
    with pytest.raises(ValidationError, match="keep or tag"):
        Watermark(box=(0.1, 0.2, 0.9, 0.9), action="crop")


def test_several_conditioning_frames_are_different_frames_of_the_clip(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(50))
    [clip] = normalise(source, "k", with_changes(condition_frames=4), tmp_path)
    names = ["k-000.jpg", *(f"k-000.{n}.jpg" for n in (1, 2, 3))]
    drawn = [frame_number(np.asarray(Image.open(tmp_path / name))) for name in names]
    assert drawn == clip["condition_frames"]
    assert len(set(drawn)) == 4
    assert clip["condition_frame"] == drawn[0]
    brief = write_coded(tmp_path / "b.mp4", range(3))
    [clip] = normalise(brief, "b", with_changes(condition_frames=4), tmp_path)
    assert sorted(clip["condition_frames"]) == [0, 1, 2]


def test_a_clip_records_the_encoders_of_its_files(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    [clip] = normalise(source, "k", with_changes(crf=23, jpeg_quality=80), tmp_path)
    mp4, jpg = (clip["encoders"][suffix] for suffix in ("mp4", "jpg"))
    # x264 writes its version and settings into the stream.
    written = (tmp_path / "k-000.mp4").read_bytes()
    assert f"{mp4['name'].replace('x264', 'x264 -')} -".encode() in written
    options = mp4["options"]
    assert (options["crf"], options["preset"], options["tune"]) == ("23", "ultrafast", "fastdecode")
    assert b" keyint=25 keyint_min=13 scenecut=0 " in written
    assert "keyint=25:min-keyint=25:scenecut=0" in options["x264-params"]
    assert b" mbtree=0 crf=23.0" in written
    assert b" threads=1 " in written
    assert jpg["name"].startswith("libjpeg-turbo ")
    assert jpg["options"] == {"quality": "80", "subsampling": "0"}
