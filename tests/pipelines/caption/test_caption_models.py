"""Models of transformers by family: how each reads a clip, and folders that hold none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.caption import CaptionConfig
from pipelines.caption.captioner import Captioner, open_reading
from pipelines.caption.clips import Clip, even_frames
from tests.support.captioners import FAMILIES

FRAMES = {"blip": 1, "git": 1, "git-video": 3, "vit-gpt2": 1, "qwen2-vl": 8}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write(folder / name) for name, write in FAMILIES.items()}


def config(model: Path, **changes: object) -> CaptionConfig:
    return CaptionConfig.model_validate({"dataset": "d", "model": str(model), "max_new_tokens": 8, **changes})


def clip(count: int, seed: int) -> Clip:
    frames = np.random.default_rng(seed).integers(0, 256, (count, 40, 56, 3), np.uint8)
    return Clip(frames, even_frames(24, count), 24, 8.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_captions_clips_the_same_each_time(models: dict[str, Path], family: str) -> None:
    captioner = Captioner(config(models[family]))
    count = captioner.reading.frames
    assert count == FRAMES[family]
    clips = [clip(count, seed) for seed in range(4)]
    captions = captioner.captions(clips)
    assert captions == captioner.captions(clips)
    assert captions[::-1] == captioner.captions(clips[::-1])
    assert any(captions)
    batched = Captioner(config(models[family], batch=4)).captions(clips)
    assert batched == captions


@pytest.mark.parametrize("family", ["git-video", "qwen2-vl"])
def test_a_video_model_reads_all_frames(models: dict[str, Path], family: str) -> None:
    captioner = Captioner(config(models[family]))
    first = [clip(captioner.reading.frames, seed) for seed in range(6)]
    other = [
        Clip(np.concatenate([each.frames[:1], 255 - each.frames[1:]]), each.indices, each.length, each.fps)
        for each in first
    ]
    assert captioner.captions(first) != captioner.captions(other)


def test_a_prompt_reaches_the_model_and_not_the_caption(models: dict[str, Path]) -> None:
    clips = [clip(1, seed) for seed in range(4)]
    plain = Captioner(config(models["git"])).captions(clips)
    prompted = Captioner(config(models["git"], prompt="a red dog")).captions(clips)
    assert prompted != plain
    assert not any((caption or "").startswith("a red dog") for caption in prompted)


def test_pictures_are_passed_to_a_chat_that_takes_no_videos(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(models["qwen2-vl"], folder)
    template = next(file for file in (folder / "chat_template.jinja",) if file.exists())
    template.write_text(template.read_text().replace("'video'", "'none'").replace("<|video_pad|>", ""))
    captioner = Captioner(config(folder, frames=3))
    assert (captioner.reading.frames, "frames of one video" in captioner.reading.prompt) == (3, True)
    assert len(captioner.captions([clip(3, 0), clip(3, 1)])) == 2


@pytest.mark.parametrize(
    ("family", "setting", "message"),
    [
        ("blip", {"frames": 4}, "takes 1 frames of a clip, not 4"),
        ("git-video", {"frames": 8}, "takes 3 frames of a clip, not 8"),
        ("git-video", {"prompt": "what"}, "takes no prompt"),
        ("vit-gpt2", {"prompt": "what"}, "takes no prompt"),
    ],
)
def test_what_a_model_cannot_take_is_an_error(
    models: dict[str, Path], family: str, setting: dict[str, object], message: str
) -> None:
    with pytest.raises(AnimaticError, match=message):
        open_reading(models[family], config(models[family], **setting))


def test_a_folder_without_a_usable_model_is_an_error(models: dict[str, Path], tmp_path: Path) -> None:
    def fails(message: str, folder: Path) -> None:
        with pytest.raises(AnimaticError, match=message):
            Captioner(config(folder))

    def changed(name: str, **values: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(models["blip"], folder)
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
        return folder

    fails("has no config.json", tmp_path / "absent")
    fails("has no config.json", models["blip"] / "config.json")
    pickled = changed("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    fails("pickles are not loaded", pickled)
    fails("model of type bert, which does not turn images into text", changed("text", model_type="bert"))
    remote = {"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}}
    fails("with code of their own are not run", changed("remote", **remote))
    broken = changed("broken")
    (broken / "config.json").write_text("{")
    fails("cannot be loaded", broken)
    cut = changed("cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    fails("cannot be loaded", cut)
    no_processor = changed("no processor")
    for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (no_processor / file).unlink()
    fails("cannot be loaded", no_processor)


def test_missing_tensors_are_not_drawn_at_random(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "lacking"
    shutil.copytree(models["blip"], folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.embeddings.class_embedding"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AnimaticError, match="lacks 1 tensors of its model"):
        Captioner(config(folder))


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(24, 4, [3, 9, 15, 21]), (24, 1, [12]), (3, 3, [0, 1, 2]), (2, 4, [0, 0, 1, 1]), (1, 2, [0, 0])],
)
def test_frames_are_drawn_evenly(length: int, count: int, expected: list[int]) -> None:
    assert even_frames(length, count) == expected
