"""Clips in VBench's layout: five for each of its prompts, or those of an evaluation."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from pipelines.evaluate.clips import ClipPair, RealClip, SampleShape
from pipelines.evaluate.systems import noise_seed
from pipelines.evaluate.vbench.export import VBenchWork, export_evaluation, export_for_prompts
from pipelines.evaluate.vbench.layout import read_prompts
from tests.support.evaluations import system_of, write_report
from tests.support.footage import frames_of

ENTRIES = [
    {
        "prompt_en": "a boat",
        "dimension": ["i2v_subject", "dynamic_degree"],
        "image_type": "transportation",
        "image_name": "a boat.jpg",
    },
    {
        "prompt_en": "a boat, camera pans left",
        "dimension": ["camera_motion"],
        "image_type": "transportation",
        "image_name": "a boat.jpg",
    },
]


@dataclass
class Painter:
    """A system whose clips show the picture, darkened by the seed of the clip's noise."""

    name: str = "painter"

    @property
    def record(self):
        return system_of(name=self.name)

    def shape(self, stride):
        return SampleShape(4, 32, 48, stride)

    def open(self, device):
        return self

    def generate(self, clips, seed):
        levels = [noise_seed(seed, clip.key) % 100 for clip in clips]
        stills = [np.repeat(clip.pixels[:1], 4, axis=0) for clip in clips]
        return np.stack([still - np.uint8(level) for still, level in zip(stills, levels, strict=True)])


@pytest.fixture
def info(tmp_path):
    path = tmp_path / "vbench2_i2v_full_info.json"
    path.write_text(json.dumps(ENTRIES))
    (tmp_path / "16-9").mkdir()
    Image.new("RGB", (96, 54), (200, 200, 200)).save(tmp_path / "16-9" / "a boat.jpg")
    return path


def test_each_prompt_gets_five_clips_whose_seeds_are_recorded(info, tmp_path):
    prompts = read_prompts(info, tmp_path / "16-9")
    output = tmp_path / "out"
    work = VBenchWork(Painter(), output, seed=3)
    seen = []
    assert export_for_prompts(work, prompts, lambda *counts: seen.append(counts)) == 10
    assert (seen[0], seen[-1]) == ((0, 10), (10, 10))
    names = [f"{entry['prompt_en']}-{index}.mp4" for entry in ENTRIES for index in range(5)]
    assert sorted(path.name for path in (output / "videos").iterdir()) == sorted(names)
    seeds = json.loads((output / "seeds.json").read_text())
    assert list(seeds) == names
    frames = frames_of(output / "videos" / names[1])
    assert len(frames) == 4
    assert frames[0].mean() == pytest.approx(200 - seeds[names[1]] % 100, abs=2)

    # Again: what exists is kept, what is missing is made.
    kept = output / "videos" / names[0]
    written = kept.stat().st_mtime_ns
    (output / "videos" / names[1]).unlink()
    seen.clear()
    export_for_prompts(work, prompts, lambda *counts: seen.append(counts))
    assert seen == [(9, 10), (10, 10)]
    assert kept.stat().st_mtime_ns == written
    with pytest.raises(AnimaticError, match="has clips of another system, seed or frame rate"):
        export_for_prompts(VBenchWork(Painter("other"), output, seed=3), prompts)


def test_prompts_are_those_of_the_chosen_dimensions(info, tmp_path):
    (prompt,) = read_prompts(info, tmp_path / "16-9", ["camera_motion"])
    assert prompt.text == "a boat, camera pans left"
    with pytest.raises(AnimaticError, match="has no prompts of color; it has camera_motion, dynamic_degree"):
        read_prompts(info, tmp_path / "16-9", ["color"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_en": "a/b"}, "'a/b' cannot be the name of a file"),
        ({"prompt_en": "é" * 200}, "is too long for the name of a file"),
        ({"prompt_en": "a boat, camera pans left"}, "occurs twice"),
        ({"image_name": "b.jpg"}, r"lacks 1 pictures \(b\.jpg"),
        ({"image_name": "../b.jpg"}, "names no picture: update VBench"),
        ({"dimension": 3}, "is not VBench's vbench2_i2v_full_info.json"),
    ],
)
def test_a_list_that_vbench_could_not_use_is_refused(info, tmp_path, changes, message):
    info.write_text(json.dumps([{**ENTRIES[0], **changes}, ENTRIES[1]]))
    with pytest.raises(AnimaticError, match=message):
        read_prompts(info, tmp_path / "16-9")


def test_captions_that_cannot_be_names_are_followed_by_the_clips_key(tmp_path):
    captions = ["dog / cat", "é" * 200, ".hidden", "", "a\0b", "a fox"]
    still = np.zeros((2, 32, 32, 3), np.uint8)
    clips = [RealClip(f"k{n}", text, 8.0, still, source=f"s{n}") for n, text in enumerate(captions)]
    write_report(tmp_path / "evaluation", [ClipPair(clip, still) for clip in clips])
    assert export_evaluation(tmp_path / "evaluation", tmp_path / "out", 8.0) == len(captions)
    names = {"dog   cat k0", "é" * 123 + " k1", "hidden k2", "k3", "a b k4", "a fox"}
    assert {path.stem for path in (tmp_path / "out" / "images").iterdir()} == names
    assert {path.name for path in (tmp_path / "out" / "videos").iterdir()} == {f"{n}-0.mp4" for n in names}


def test_an_evaluation_becomes_clips_with_their_own_pictures(tmp_path):
    random = np.random.default_rng(0)
    captions = ["a boat", "a fox", "a boat"]
    pairs = [
        ClipPair(
            RealClip(
                f"k{n}", caption, 8.0, random.integers(0, 255, (3, 32, 32, 3), np.uint8), source=f"s{n}"
            ),
            random.integers(0, 255, (3, 32, 32, 3), np.uint8),
        )
        for n, caption in enumerate(captions)
    ]
    write_report(tmp_path / "evaluation", pairs)
    assert export_evaluation(tmp_path / "evaluation", tmp_path / "out", 8.0) == 3
    # Two clips share a caption, by which VBench identifies them.
    names = {"a boat k0", "a fox", "a boat k2"}
    assert {path.name for path in (tmp_path / "out" / "videos").iterdir()} == {f"{n}-0.mp4" for n in names}
    assert {path.name for path in (tmp_path / "out" / "images").iterdir()} == {f"{n}.png" for n in names}
    picture = np.asarray(Image.open(tmp_path / "out" / "images" / "a fox.png"))
    assert np.array_equal(picture, pairs[1].real[0])
    assert len(frames_of(tmp_path / "out" / "videos" / "a fox-0.mp4")) == 3

    next((tmp_path / "evaluation" / "chunks").glob("*.json")).unlink()
    with pytest.raises(AnimaticError, match="has 0 of the 3 clips of its report: rerun it"):
        export_evaluation(tmp_path / "evaluation", tmp_path / "out", 8.0)
