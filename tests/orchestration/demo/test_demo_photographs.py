"""Photographs and camera moves: what is held out, what their captions name, and that the camera does it."""

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from orchestration.demo import camera, photographs
from orchestration.demo.camera import Framing
from orchestration.demo.packaged_files import packaged_file
from orchestration.demo.photographs import Photograph
from pipelines.evaluate.metrics import caption_direction

WINDOWS = (*photographs.TRAINING, *photographs.HELD_OUT)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_held_out_photographs_are_in_no_clip_to_train_on():
    held_out = {window.photograph for window in photographs.HELD_OUT}
    assert {photograph.subject for photograph in held_out} >= {"a cat", "a cup of coffee", "a rocket"}
    assert not held_out & {window.photograph for window in photographs.TRAINING}
    subjects = {photograph.subject for photograph in held_out}
    captions = {photographs.photograph_clip(7, index)[0] for index in range(24)}
    assert not [caption for caption in captions for subject in subjects if caption.endswith(f" {subject}")]
    assert len(captions) > 8


def test_captions_are_distinct_and_name_no_direction():
    captions = [window.caption for window in WINDOWS]
    assert len(set(captions)) == len({window.videoid for window in WINDOWS}) == len(WINDOWS)
    moves = [
        template.format(photograph.subject)
        for template in camera.WORDS.values()
        for photograph in photographs.CREDITS
    ]
    assert not [caption for caption in moves if caption_direction(caption) is not None]


def test_every_photograph_is_credited_with_a_licence_that_allows_its_use():
    assert {window.photograph for window in WINDOWS} == set(photographs.CREDITS)
    assert {photograph.licence for photograph in photographs.CREDITS} <= {"CC0", "public domain", "CC BY 2.0"}
    assert all(photograph.author for photograph in photographs.CREDITS)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.videoid)
def test_a_window_is_inside_its_photograph_and_starts_with_its_first_framing(window):
    height, width = photographs.read(window.photograph).shape[:2]
    for framing in window.framings:
        left, top, right, bottom = framing.scaled(height).box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    frames = photographs.cut(window, frames=3, size=32)
    box = window.framings[0].scaled(height).box
    whole = Image.fromarray(photographs.read(window.photograph))
    assert np.array_equal(frames[0], np.asarray(whole.resize((32, 32), Image.Resampling.LANCZOS, box=box)))
    assert difference(frames[0], frames[-1]) > 2


def test_zooms_magnify_the_middle_and_glides_keep_the_scale():
    around = Framing(10, 10, 100)
    for move, magnified in (("zoom in", True), ("zoom out", False)):
        first, last = camera.framings(move, around)
        assert (first.side > last.side) is magnified
        assert max((first, last), key=lambda framing: framing.side) == around
        centres = [
            (framing.left + framing.side / 2, framing.top + framing.side / 2) for framing in (first, last)
        ]
        assert centres[0] == pytest.approx(centres[1])
    first, last = camera.framings("glide", around)
    assert first.side == last.side < around.side
    assert first.top == last.top
    assert first.left == around.left
    assert last.left + last.side == pytest.approx(around.left + around.side)


def test_a_move_is_smooth_below_a_pixel():
    axis = np.arange(120) - 59.5
    spot = 255 * np.exp(-(axis**2 + axis[:, None] ** 2) / (2 * 8**2))
    picture = np.repeat(spot[..., None], 3, axis=-1).round().astype(np.uint8)
    frames = camera.film(picture, Framing(24, 25, 70), Framing(26, 25, 70), frames=9, size=70)
    weights = frames[..., 0].astype(float)
    centres = (weights * np.arange(70)).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    # Lanczos resampling is off by up to 0.05 pixels; framings of whole pixels would move it by 0 or 1.
    assert np.diff(centres) == pytest.approx(np.full(8, -0.25), abs=0.06)


def test_random_clips_are_the_same_every_time_and_move():
    clips = [photographs.photograph_clip(5, index) for index in range(6)]
    for index, (caption, frames) in enumerate(clips):
        again = photographs.photograph_clip(5, index)
        assert again[0] == caption
        assert np.array_equal(again[1], frames)
        assert frames.shape == (24, 128, 128, 3)
        assert difference(frames[0], frames[-1]) > 1
    assert not np.array_equal(clips[0][1], photographs.photograph_clip(6, 0)[1])


def test_a_photograph_that_is_not_installed_is_an_error_with_its_fix():
    missing = Photograph("scikit-image", "nothing.png", "nothing", "nobody", "CC0")
    with pytest.raises(AnimaticError, match=r"nothing\.png of the package scikit-image.*make setup"):
        photographs.read(missing)
    with pytest.raises(AnimaticError, match="no-such-package"):
        packaged_file("no-such-package", "nothing.png")
