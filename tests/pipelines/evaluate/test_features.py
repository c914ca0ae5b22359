"""Extractors: what they compute of tiny networks in the published layouts, and files that are refused."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.errors import AnimaticError
from core.files import sha256
from pipelines.evaluate.features import check_frames, identify, open_extractor
from tests.support.extractors import (
    DIMENSION,
    FRAMES,
    write_clip,
    write_dreamsim,
    write_i3d,
    write_script,
    write_videomae,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (3, FRAMES, 24, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractors")
    return {
        "i3d": write_i3d(folder / "i3d.pt"),
        "dreamsim": write_dreamsim(folder / "dreamsim.pt"),
        "videomae": write_videomae(folder / "videomae"),
        "clip": write_clip(folder / "clip"),
    }


def opened(name, path):
    return open_extractor(identify({name: str(path)})[name], "cpu")


def refused(message, name, path):
    with pytest.raises(AnimaticError) as caught:
        opened(name, path).clips(PIXELS)
    assert str(caught.value).startswith(f"extractor {name}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_i3d_gets_levels_of_255_and_the_published_options(files):
    network = torch.jit.load(files["i3d"])
    inputs = torch.from_numpy(PIXELS).permute(0, 4, 1, 2, 3).float()
    expected = network(inputs, rescale=True, resize=True, return_features=True)
    assert opened("i3d", files["i3d"]).clips(PIXELS) == pytest.approx(expected.detach().numpy(), rel=1e-4)


def test_dreamsim_embeds_each_frame_as_its_package_prepares_it(files):
    found = opened("dreamsim", files["dreamsim"]).clips(PIXELS)
    assert found.shape == (3, FRAMES, DIMENSION)
    resized = Image.fromarray(PIXELS[1, 2]).resize((224, 224), Image.Resampling.BICUBIC)
    picture = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None] / 255
    expected = torch.jit.load(files["dreamsim"])(picture)[0]
    assert found[1, 2] == pytest.approx(expected.detach().numpy(), rel=1e-4)


def test_an_export_of_dreamsim_that_fails_on_one_picture_reads_clips_of_one_frame(tmp_path):
    class Squeezing(nn.Module):  # as the package's own normalisation
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = x.mean(dim=[2, 3]).squeeze()
            return features / features.sum(dim=1, keepdim=True)

    path = write_script(Squeezing(), tmp_path / "dreamsim.pt")
    assert opened("dreamsim", path).clips(PIXELS[:1, :1]).shape == (1, 1, 3)


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_videomae_pools_tokens_as_its_classifier_does(tmp_path, fine_tuned):
    from transformers import VideoMAEForVideoClassification, VideoMAEModel

    path = write_videomae(tmp_path / "videomae", fine_tuned=fine_tuned)
    found = opened("videomae", path).clips(PIXELS)
    frames = torch.from_numpy(PIXELS).permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
    frames = nn.functional.interpolate(frames, (16, 16), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = ((frames - mean.view(3, 1, 1)) / std.view(3, 1, 1)).unflatten(0, (3, FRAMES))
    with torch.no_grad():
        if fine_tuned:
            network = VideoMAEForVideoClassification.from_pretrained(path).eval()
            vectors = torch.from_numpy(found)
            assert network.classifier(vectors).numpy() == pytest.approx(
                network(inputs).logits.numpy(), abs=1e-4
            )
        else:
            tokens = VideoMAEModel.from_pretrained(path).eval()(inputs).last_hidden_state
            assert found == pytest.approx(tokens.mean(dim=1).numpy(), abs=1e-4)


def test_videomae_reads_only_clips_of_its_length(files, tmp_path):
    extractors = identify({"videomae": str(files["videomae"]), "i3d": str(files["i3d"])})
    check_frames(extractors, FRAMES)
    with pytest.raises(AnimaticError, match="reads clips of 4 frames, these have 16"):
        check_frames(extractors, 16)


def test_clip_encodes_frames_and_captions_as_open_clip_does(files):
    import open_clip

    extractor = opened("clip", files["clip"])
    name = f"local-dir:{files['clip']}"
    model, _, prepare = open_clip.create_model_and_transforms(name)
    with torch.no_grad():
        picture = model.eval().encode_image(prepare(Image.fromarray(PIXELS[2, 1]))[None])[0].numpy()
        text = model.encode_text(open_clip.get_tokenizer(name)(["a red ball"]))[0].numpy()
    assert extractor.clips(PIXELS)[2, 1] == pytest.approx(picture, abs=1e-5)
    assert extractor.texts(["a red ball", "rain"])[0] == pytest.approx(text, abs=1e-5)


def test_values_record_the_digest_and_a_file_with_another_one_is_refused(files, tmp_path):
    digest = sha256(files["i3d"])
    assert identify({"i3d": f"{files['i3d']}@{digest}"})["i3d"].digest == digest
    with pytest.raises(AnimaticError, match=f"has sha256 {digest}, not {'0' * 64}"):
        identify({"i3d": f"{files['i3d']}@{'0' * 64}"})
    path = write_i3d(tmp_path / "own.pt")
    identified = identify({"i3d": str(path)})["i3d"]
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(AnimaticError, match="changed while the evaluation was running"):
        open_extractor(identified, "cpu")


def test_files_of_another_kind_are_refused_in_one_line(files, tmp_path):
    (tmp_path / "words").write_text("no network")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("data", "x")
    for name in ("i3d", "dreamsim"):
        for path in (tmp_path / "words", tmp_path / "other.zip", tmp_path):
            refused("is not a TorchScript file", name, path)
    for name in ("videomae", "clip"):
        refused("is not a folder", name, tmp_path / "words")
    refused("is not a folder with open_clip_config.json", "clip", files["videomae"])
    refused("does not exist", "clip", tmp_path / "missing")
    with pytest.raises(AnimaticError, match="no extractor is named 'vgg'; there are clip, dreamsim, i3d"):
        identify({"vgg": str(tmp_path)})


def test_networks_that_are_not_the_published_ones_are_refused_in_one_line(files, tmp_path):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(files["i3d"].read_bytes())
    with zipfile.ZipFile(cut, "a") as archive:
        archive.writestr("other/code/x", "")
    refused("cannot read inputs of shape", "i3d", files["dreamsim"])

    class Spatial(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    refused("not one vector each", "dreamsim", write_script(Spatial(), tmp_path / "spatial.pt"))


def test_folders_without_their_weights_are_refused_in_one_line(files, tmp_path):
    from safetensors.torch import load_file, save_file

    for name, weights in (("videomae", "model.safetensors"), ("clip", "open_clip_model.safetensors")):
        folder = tmp_path / name
        folder.mkdir()
        for file in files[name].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        state = load_file(folder / weights)
        save_file(dict(list(state.items())[:-1]), folder / weights, metadata={"format": "pt"})
        refused("lacks 1 tensor" if name == "videomae" else "cannot be loaded", name, folder)
        (folder / weights).write_bytes(b"damaged")
        refused("cannot be loaded", name, folder)
    (tmp_path / "videomae" / "config.json").write_text(json.dumps({"model_type": "vit"}))
    refused("a model of the type vit, not videomae", "videomae", tmp_path / "videomae")
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    refused("not a configuration of open_clip", "clip", tmp_path / "clip")
