"""Animating resolves bundle, images and settings first; the bundle records the default settings."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import BundleOrigin, write_bundle
from models.diffusion.settings import MAX_SEED, SamplingSettings
from models.network.network import Network
from models.network.parameter_names import public_state
from orchestration.media import ClipFiles
from orchestration.workflows.animate import AnimateOptions, animate, prepare_animation
from orchestration.workflows.evaluate import EvaluateOptions, prepare_evaluation
from orchestration.workflows.sampling import SamplingOptions
from orchestration.workspace import Workspace
from tests.support.published import SMALL, random_state, small_published_architecture
from tests.support.small_stages import make_bundle, small_config, small_sets
from training.config import resolve

RECORDED = SamplingSettings(steps=2, eta=0.5, text_guidance=3.0, fps=4.0)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    Image.fromarray(np.full((80, 64, 3), 120, np.uint8)).save(tmp_path / "still.png")
    return Workspace(tmp_path / "runs")


def bundle(folder: Path, sampling: SamplingSettings | None) -> str:
    """A bundle of preset tiny with these recorded settings."""
    model = small_config(3).model
    write_bundle(
        folder,
        Animator(model).network.state_dict(),
        BundleOrigin(
            architecture=model,
            stage=3,
            preset="tiny",
            config_hash="0" * 64,
            dataset_digest=None,
            parent=None,
            sampling=sampling,
        ),
        model_card="# test\n",
    )
    return str(folder)


def options(workspace: Workspace, name: str, **more) -> AnimateOptions:
    return AnimateOptions(workspace.root.parent / "still.png", "A ball, moving!", bundle=name, **more)


@pytest.mark.parametrize("recorded", [RECORDED, None])
def test_sampling_settings_are_the_bundles_whatever_its_preset(workspace, tmp_path, recorded):
    name = bundle(tmp_path / "bundle", recorded)
    settings = recorded or SamplingSettings()
    assert prepare_animation(options(workspace, name), workspace).settings == settings
    chosen = options(workspace, name, sampling=SamplingOptions(steps=7, seed=3))
    assert prepare_animation(chosen, workspace).settings == settings.model_copy(
        update={"steps": 7, "seed": 3}
    )
    evaluation = prepare_evaluation(EvaluateOptions("held-out", bundle=name), workspace)
    # Each real clip has a rate of its own, which its animation gets too.
    assert evaluation.config.sampling == settings.model_copy(update={"fps": None})


def test_a_request_becomes_files_with_progress_over_all_clips(workspace, tmp_path):
    make_bundle(tmp_path / "bundle")
    sampling = SamplingOptions(steps=2, seed=5)
    request = prepare_animation(
        options(workspace, str(tmp_path / "bundle"), sampling=sampling, count=2), workspace
    )
    assert request.first.shape == (1, 3, 64, 64)
    calls: list[tuple[int, int]] = []
    result = animate(request, lambda done, total: calls.append((done, total)))
    names = [clip.mp4.name for clip in result.clips]
    assert [re.sub("-[0-9a-f]{8}-", "-DIGEST-", name) for name in names] == [
        "still-a-ball-moving-DIGEST-5.mp4",
        "still-a-ball-moving-DIGEST-6.mp4",
    ]
    assert all(clip.gif.stat().st_size > 0 for clip in result.clips)
    assert calls[-1] == (4, 4)
    assert calls == sorted(calls)


def test_a_clip_is_written_while_the_next_is_sampled(workspace, tmp_path, monkeypatch):
    make_bundle(tmp_path / "bundle")
    chosen = options(workspace, str(tmp_path / "bundle"), sampling=SamplingOptions(steps=1, seed=5), count=3)
    request = prepare_animation(chosen, workspace)
    sampled = [threading.Event() for _ in range(3)]
    written = []

    def write_clip(frames, stem, fps):
        number = len(written)
        # The last one has none after it.
        assert sampled[min(number + 1, 2)].wait(60)
        written.append((stem.name.rsplit("-", 1)[1], frames))
        return ClipFiles(None, None, None, fps)

    monkeypatch.setattr("orchestration.media.write_clip", write_clip)
    result = animate(request, lambda done, _: sampled[done - 1].set() if done else None)
    assert [seed for seed, _ in written] == ["5", "6", "7"]
    assert len(result.clips) == 3
    alone = replace(request, count=1, settings=request.settings.model_copy(update={"seed": 7}))
    animate(alone, lambda *_: None)
    assert np.array_equal(written[3][1], written[2][1])


def test_a_clip_that_cannot_be_written_ends_the_animation(workspace, tmp_path, monkeypatch):
    make_bundle(tmp_path / "bundle")
    chosen = options(workspace, str(tmp_path / "bundle"), sampling=SamplingOptions(steps=1), count=3)
    sampled = []

    def fail(*_):
        raise OSError(28, "No space left on device")

    request = prepare_animation(chosen, workspace)
    monkeypatch.setattr("core.h264.write_mp4", fail)
    with pytest.raises(OSError, match="No space left"):
        animate(request, lambda done, _: sampled.append(done))
    assert max(sampled) == 2
    assert not [path for path in request.stem.parent.iterdir() if path.is_file()]


def test_contradicting_options_are_refused_before_anything_is_opened(workspace):
    with pytest.raises(AnimaticError, match="--loop ends at the image itself"):
        prepare_animation(options(workspace, "nowhere", loop=True, last=Path("last.png")), workspace)


def test_animations_that_differ_have_different_names_and_equal_ones_the_same(workspace, tmp_path):
    one, other = bundle(tmp_path / "one", None), bundle(tmp_path / "other", RECORDED)
    base = options(workspace, one)
    Image.fromarray(np.full((80, 64, 3), 7, np.uint8)).save(tmp_path / "elsewhere.png")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "elsewhere.png").rename(tmp_path / "pictures" / "still.png")
    variants = [
        base,
        replace(base, bundle=other),
        replace(base, prompt="猫が走る"),
        replace(base, prompt="犬が走る"),
        replace(base, prompt="A ball, moving! " + "far " * 20 + "left"),
        replace(base, prompt="A ball, moving! " + "far " * 20 + "right"),
        replace(base, prompt="a ball moving"),
        replace(base, prompt="🦊" * 100),
        replace(base, image=tmp_path / "pictures" / "still.png"),
        replace(base, sampling=SamplingOptions(steps=3)),
        replace(base, sampling=SamplingOptions(text_guidance=3.0)),
        replace(base, playback=4.0),
        replace(base, frames=2),
        replace(base, loop=True),
        replace(base, last=tmp_path / "pictures" / "still.png"),
    ]
    stems = [prepare_animation(variant, workspace).stem.name for variant in variants]
    assert len(set(stems)) == len(variants)
    assert stems[2].startswith("still-猫が走る-")
    assert prepare_animation(base, workspace).stem.name == stems[0]
    again = prepare_animation(replace(base, sampling=SamplingOptions(seed=9)), workspace)
    assert again.stem.name == stems[0], "the seed is a part of the name by itself"


def test_long_names_are_cut_between_characters(workspace, tmp_path):
    image = tmp_path / f"{'é' * 120}.png"
    (tmp_path / "still.png").rename(image)
    long = AnimateOptions(image, "走" * 300, bundle=bundle(tmp_path / "bundle", None))
    name = prepare_animation(long, workspace).stem.name
    assert len(name.encode()) < 200
    assert set(name.rsplit("-", 1)[0]) == {"é", "-", "走"}


@pytest.mark.parametrize("name", ["fox.mp4", "FOX.GIF"])
def test_out_may_name_one_file(workspace, tmp_path, name):
    make_bundle(tmp_path / "bundle")
    path = tmp_path / "made" / name
    chosen = options(workspace, str(tmp_path / "bundle"), out=path, sampling=SamplingOptions(steps=1))
    (clip,) = animate(prepare_animation(chosen, workspace), lambda done, total: None).clips
    assert clip.paths == [path]
    assert [item.name for item in path.parent.iterdir()] == [name]
    with pytest.raises(AnimaticError, match="exists and is not overwritten"):
        prepare_animation(chosen, workspace)
    with pytest.raises(AnimaticError, match="names one file, for 2 clips"):
        prepare_animation(replace(chosen, count=2), workspace)


@pytest.mark.parametrize("name", ["fox.webm", "fox.MOV", "fox.png"])
def test_out_may_not_name_a_file_of_another_format(workspace, name):
    with pytest.raises(AnimaticError, match=r"clips are written as \.mp4 and \.gif"):
        prepare_animation(options(workspace, "nowhere", out=Path(name)), workspace)


def test_out_may_name_a_folder_that_looks_like_a_file(workspace, tmp_path):
    folder = tmp_path / "clips.mp4"
    folder.mkdir()
    request = prepare_animation(
        options(workspace, bundle(tmp_path / "bundle", None), out=folder, count=2), workspace
    )
    assert (request.file, request.stem.parent) == (None, folder)


@pytest.mark.parametrize("prompt", ["नमस्ते दुनिया", "สวัสดี ชาวโลก", "שָׁלוֹם עולם"])
def test_marks_on_letters_stay_in_names(workspace, tmp_path, prompt):
    request = prepare_animation(
        replace(options(workspace, bundle(tmp_path / "bundle", None)), prompt=prompt), workspace
    )
    assert request.stem.name.startswith(f"still-{prompt.replace(' ', '-')}-")


def test_seeds_of_all_clips_are_checked_before_the_work(workspace, tmp_path):
    chosen = options(workspace, bundle(tmp_path / "bundle", None), sampling=SamplingOptions(seed=MAX_SEED))
    assert prepare_animation(chosen, workspace).settings.seed == MAX_SEED
    with pytest.raises(AnimaticError, match="needs seeds above the largest"):
        prepare_animation(replace(chosen, count=2), workspace)


@pytest.mark.parametrize("part", ["codec", "encoders"])
def test_a_file_that_the_bundle_does_not_use_is_refused(workspace, tmp_path, part):
    weightless = resolve(3, "tiny", [*small_sets(3), "model.codec={kind: dct, luma: 4, chroma: 2}"])
    make_bundle(tmp_path / "bundle", config=weightless)
    chosen = options(workspace, str(tmp_path / "bundle"), **{part: "weights.safetensors"})
    with pytest.raises(AnimaticError, match=f"--{part} is without effect"):
        prepare_animation(chosen, workspace)


def test_out_below_a_file_is_refused_before_the_work(workspace, tmp_path):
    below = tmp_path / "still.png" / "clips"
    with pytest.raises(AnimaticError, match="cannot be written to"):
        prepare_animation(options(workspace, bundle(tmp_path / "bundle", None), out=below), workspace)


def test_the_end_of_a_prompt_that_is_not_read_is_named(workspace, tmp_path):
    name = bundle(tmp_path / "bundle", None)
    short = options(workspace, name)
    assert prepare_animation(replace(short, prompt="ball " * 75), workspace).lost_words == ""
    long = prepare_animation(replace(short, prompt="ball " * 75 + "turns left"), workspace)
    assert long.lost_words == "turns left"


def test_a_bundle_without_autoencoder_is_refused_at_the_start_or_gets_one(workspace, tmp_path):
    model = small_published_architecture(detail_guidance=True)
    torch.manual_seed(0)
    network = Network(model)
    write_bundle(
        tmp_path / "bundle",
        public_state(network),
        BundleOrigin(
            architecture=model,
            stage=3,
            preset="tiny",
            config_hash="0" * 64,
            dataset_digest=None,
            parent=None,
        ),
        model_card="# test\n",
    )
    chosen = options(workspace, str(tmp_path / "bundle"), sampling=SamplingOptions(steps=1))
    with pytest.raises(AnimaticError, match=r"lacks the autoencoder: .* with --codec and --encoders"):
        prepare_animation(chosen, workspace)
    with pytest.raises(AnimaticError, match="lacks the autoencoder"):
        prepare_evaluation(EvaluateOptions("held-out", bundle=chosen.bundle), workspace)
    page = tmp_path / "page.safetensors"
    page.write_text("<!doctype html>")
    with pytest.raises(AnimaticError, match=r"lacks the autoencoder \(.* is no checkpoint but a web page"):
        prepare_animation(replace(chosen, codec=str(page)), workspace)
    codec = tmp_path / "vae.bin"  # by content, whatever its name
    state = random_state(SMALL["gated"])
    save_file({key: x for key, x in state.items() if key.startswith("first_stage_model.")}, codec)
    request = prepare_animation(replace(chosen, codec=str(codec)), workspace)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(codec.read_bytes())
    assert prepare_animation(replace(chosen, codec=str(copy)), workspace).stem == request.stem
    save_file({"another": torch.zeros(1)}, copy)
    assert prepare_animation(replace(chosen, codec=str(copy)), workspace).stem != request.stem
    assert animate(request, lambda done, total: None).clips[0].mp4.exists()
    evaluation = EvaluateOptions("held-out", bundle=chosen.bundle, codec=str(codec))
    assert prepare_evaluation(evaluation, workspace).config.absolute().codec == str(codec)
