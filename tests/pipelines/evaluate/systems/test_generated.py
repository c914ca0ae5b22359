"""Clips of other systems: read exactly as stored, complete, and identified by content."""

import shutil

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from pipelines.evaluate.clips import RealClip, SampleShape
from pipelines.evaluate.systems import generated_system
from pipelines.evaluate.systems.generated import GeneratedFolder
from tests.support.footage import coded_frame, ffmpeg, frame_number, write_coded


@pytest.fixture
def folder(tmp_path):
    """One clip as mp4 with B-frames, one as pictures."""
    generated = tmp_path / "generated"
    (generated / "b").mkdir(parents=True)
    write_coded(generated / "a.mp4", range(12))
    for number in range(11):
        Image.fromarray(coded_frame(number)).save(generated / "b" / f"frame-{number}.png")
    return generated


def test_the_first_frames_are_read_in_order_at_the_size_asked_for(folder):
    clips = GeneratedFolder(folder)
    clips.require_keys(["a", "b"])
    read = clips.read(["b", "a"], 11, (48, 80))
    assert read.shape == (2, 11, 48, 80, 3)
    assert read.dtype == np.uint8
    assert [[frame_number(frame) for frame in clip] for clip in read] == [list(range(11))] * 2
    square = clips.read(["b"], 2, (96, 96))
    assert np.array_equal(square[0, 0], coded_frame(0)[:, 32:128])


def test_a_folder_that_does_not_match_the_pictures_is_refused(folder):
    clips = GeneratedFolder(folder)
    with pytest.raises(
        AnimaticError, match=r"lacks 1 of 2 clips \(c\) and has 1 that were not asked for \(b\)"
    ):
        clips.require_keys(["a", "c"])
    shutil.copy(folder / "a.mp4", folder / "b.mp4")
    with pytest.raises(AnimaticError, match=r"has both b\.mp4 and a folder b"):
        clips.require_keys(["a", "b"])
    with pytest.raises(AnimaticError, match="is not a folder with generated clips"):
        GeneratedFolder(folder / "a.mp4").require_keys(["a"])


@pytest.mark.parametrize(("key", "name"), [("a", r"a\.mp4"), ("b", "b")])
def test_too_few_frames_are_refused(folder, key, name):
    with pytest.raises(AnimaticError, match=rf"{name} has 1[12] frames, 16 are needed"):
        GeneratedFolder(folder).read([key], 16, (48, 80))


def test_damaged_clips_are_refused(folder):
    (folder / "a.mp4").write_bytes(b"no video")
    (folder / "b" / "frame-1.png").write_bytes(b"no picture")
    for key in ("a", "b"):
        with pytest.raises(AnimaticError, match="cannot be decoded"):
            GeneratedFolder(folder).read([key], 4, (48, 80))


def test_the_digest_is_that_of_all_names_and_contents(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert GeneratedFolder(copy).digest() == GeneratedFolder(folder).digest()
    ffmpeg(copy / "a.mp4", "-i", str(folder / "a.mp4"), "-crf", "30")
    assert GeneratedFolder(copy).digest() != GeneratedFolder(folder).digest()


def test_as_a_system_it_returns_the_clips_with_the_keys(folder):
    system = generated_system(folder, SampleShape(4, 48, 80))
    assert system.record["kind"] == "generated"
    assert system.record["digest"] == GeneratedFolder(folder).digest()
    system.check(["a", "b"])
    stills = [RealClip(key, "a square", 8.0, coded_frame(0)[None], source=key) for key in ("b", "a")]
    clips = system.open("cpu").generate(stills, seed=0)
    assert clips.shape == (2, 4, 48, 80, 3)
    assert [frame_number(clip[3]) for clip in clips] == [3, 3]
    (folder / "b" / "frame-9.png").unlink()
    with pytest.raises(AnimaticError, match="has changed since the evaluation began: rerun it"):
        system.open("cpu")
