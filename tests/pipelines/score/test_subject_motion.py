"""Subject motion: what moves counts in proportion to its speed, what the camera does hardly counts."""

import functools
import io
import math
from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column, stored_columns
from pipelines.dataset.motion import frames_apart, speed_between
from pipelines.score import ScoreConfig, clip_motion, score
from tests.support.coded_clips import build_dataset
from tests.support.filmed import Filmed, sampled, texture

# Percent of the short side a frame that the camera alone may leave, however it moves.
CAMERA_LEFT = 0.05
CAMERAS = [{}, {"camera": (3.0, 0.7)}, {"camera": (-6.0, 2.0)}, {"zoom": 0.05}, {"roll": 0.05}]


@functools.cache
def measured(film: Filmed) -> float:
    return clip_motion(np.stack(film.frames())[..., None].repeat(3, -1))


@functools.cache
def motion(speed: tuple[float, float], camera: tuple[float, float] = (0.0, 0.0), zoom: float = 0.0) -> float:
    """Of a disc, the mean over some textures."""
    return float(np.mean([measured(Filmed(camera, speed, zoom, seed=seed)) for seed in range(2)]))


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_alone_is_hardly_any_motion(camera: dict) -> None:
    assert max(measured(Filmed(seed=seed, **camera)) for seed in range(2)) < CAMERA_LEFT


@pytest.mark.parametrize(
    ("camera", "disc"), [((3.0, 0.0), (1.0, 0.0)), ((-2.0, 1.5), (0.0, 2.0)), ((3.0, 0.0), (-2.0, 0.0))]
)
def test_the_camera_hardly_changes_the_motion_of_a_subject(camera, disc) -> None:
    assert motion(disc, camera) == pytest.approx(motion(disc), rel=0.1, abs=CAMERA_LEFT)


def before_a_plain_ground(speed: float, ground: float) -> float:
    """Of a textured disc that moves before a ground whose brightness rises by ``ground`` over its width."""
    y, x = np.mgrid[0:64, 0:64] - 31.5
    surface = texture(np.random.default_rng(0))
    pictures = []
    for t in range(2):
        inside = ((x - speed * t) ** 2 + y**2) / 11**2
        share = np.clip((1.1 - inside) / 0.2, 0, 1)
        seen = (120 + ground * x / 64) * (1 - share) + sampled(surface, x - speed * t, y) * share
        pictures.append(np.clip(seen.round(), 0, 255).astype(np.uint8))
    return clip_motion(np.stack(pictures)[..., None].repeat(3, -1))


@pytest.mark.parametrize("ground", [0.0, 20.0])
def test_a_subject_before_a_plain_ground_is_not_the_camera(ground: float) -> None:
    speeds = [before_a_plain_ground(speed, ground) for speed in (1.0, 2.0)]
    assert speeds[0] > 100 / 64 * math.pi * 11**2 / 64**2
    assert speeds[1] == pytest.approx(2 * speeds[0], rel=0.15)


@pytest.mark.parametrize(("camera", "zoom"), [((0.0, 0.0), 0.0), ((2.0, 1.0), 0.02)])
def test_twice_the_speed_is_twice_the_motion(camera, zoom: float) -> None:
    speeds = [motion((speed, 0.0), camera, zoom) for speed in (1.0, 2.0, 4.0)]
    assert [speeds[1] / speeds[0], speeds[2] / speeds[1]] == pytest.approx([2, 2], rel=0.15)


def test_motion_is_in_percent_of_the_short_side_over_the_picture() -> None:
    # The flow around the disc follows it for a few pixels, so that it counts as larger than it is.
    exact = 100 / 64 * 2.0 * math.pi * 14**2 / (64 * 96)
    assert exact < motion((2.0, 0.0)) < 1.7 * exact


def test_pictures_without_texture_or_in_common_are_finite() -> None:
    flat = np.full((2, 64, 64, 3), 90, np.uint8)
    assert clip_motion(flat) == 0
    flat[1] = 200
    assert clip_motion(flat) == 0
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 80, 3), np.uint8)
    assert math.isfinite(clip_motion(noise))
    with pytest.raises(ValueError, match="two frames"):
        clip_motion(flat[:1])


def encoded(frames: list[np.ndarray], fps: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        (stream.height, stream.width), stream.pix_fmt = frames[0].shape, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Clips at 12 frames a second: still, a pan alone, a disc, the disc twice as fast, one frame."""
    films = [Filmed(), Filmed((2, 0)), Filmed((2, 0), (1, 0)), Filmed((2, 0), (2, 0))]
    clips = [encoded(film.frames(6), 12) for film in films]
    folder = tmp_path_factory.mktemp("data") / "set"
    dataset = build_dataset(folder, [6, 6, 6, 6, 1], lambda n, mp4: clips[n] if n < 4 else mp4)
    score(ScoreConfig(dataset=dataset.url, metrics=("subject_motion",), workers=0))
    return dataset


def test_columns_have_the_speed_of_clips_and_of_their_parts(scored: Dataset) -> None:
    assert stored_columns(scored.folder) == ["subject_motion", "subject_motion_course"]
    speeds = read_column(scored, "subject_motion").values.to_pylist()
    courses = read_column(scored, "subject_motion_course").values.to_pylist()
    assert speeds[0] < 0.6 and speeds[1] < 12 * 2 * CAMERA_LEFT
    assert speeds[3] == pytest.approx(2 * speeds[2], rel=0.2)
    assert speeds[2] == pytest.approx(12 * motion((1.0, 0.0)), rel=0.25)
    # Frames are an eighth of a second apart, or two at this rate.
    assert [len(course) for course in courses[:4]] == [2] * 4
    assert [np.mean(course) for course in courses[:4]] == pytest.approx(speeds[:4], abs=2e-3)
    assert (speeds[4], courses[4]) == (None, None)


def test_the_job_reports_numbers_and_finds_what_is_measured(scored: Dataset) -> None:
    report = score(ScoreConfig(dataset=scored.url, metrics=("subject_motion",), workers=0))
    assert report.made_units == 0
    assert list(report.columns) == ["subject_motion"] and report.columns["subject_motion"].failed == 1


def test_a_dataset_without_clips_long_enough_is_an_error(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [1, 1])
    with pytest.raises(AnimaticError, match="has a value for subject_motion"):
        score(ScoreConfig(dataset=dataset.url, metrics=("subject_motion",), workers=0))


def test_the_speed_of_a_part_of_a_clip() -> None:
    # At 24 frames a second, parts of 3 frames.
    assert [frames_apart(fps) for fps in (2, 8, 12, 24, 30, 60)] == [1, 1, 2, 3, 4, 8]
    course = [8.0, 16.0, 0.0, 4.0]
    assert speed_between(course, 24, 0, 0.125) == 8
    assert speed_between(course, 24, 0, 0.5) == pytest.approx(7)
    assert speed_between(course, 24, 0.0625, 0.1875) == pytest.approx(12)
    assert speed_between(course, 24, 0.375, 0.55) == 4  # on past the last part
    assert speed_between(course, 24, 0.6, 0.8) == 4
    assert speed_between(course, 24, 0.25, 0.25) == 0  # one frame: of the part that it begins
