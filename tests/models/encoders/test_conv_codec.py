"""The small autoencoder: what the shipped one reconstructs, and that no network meets another's latents."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from core.errors import AnimaticError
from models import PRIOR, PRIOR_WEIGHTS, public_keys
from models.animator import Animator
from models.architecture import Architecture, CodecConfig
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.encoders.build import build_codec
from models.encoders.codec import Codec
from models.encoders.conv_codec import Autoencoder, with_digest
from models.encoders.digests import codec_digest
from models.network.parameter_names import public_state
from models.pixels import to_signed
from orchestration.demo.footage import draw_scene, render

SMALL = CodecConfig(kind="conv", width=4, channel_mult=(1, 2), res_blocks=1, patch=4, latent_channels=3)
UNSEEN = 987  # seed of scenes that neither the prior nor the demo uses


@pytest.fixture(scope="module")
def shipped() -> CodecConfig:
    return open_bundle(PRIOR, verify=False).info.architecture.codec


@pytest.fixture(scope="module")
def frames(shipped: CodecConfig) -> torch.Tensor:
    """First and last frames (n 3 h w) of rendered scenes, in [-1, 1], of the size that the prior animates."""
    side = open_bundle(PRIOR, verify=False).info.architecture.height
    scenes = [render(draw_scene(UNSEEN, index), frames=2, size=side) for index in range(12)]
    return to_signed(torch.from_numpy(np.concatenate(scenes)).permute(0, 3, 1, 2))


def weights_file(path: Path, seed: int = 0, **changes) -> Path:
    """A file with an autoencoder of drawn weights among other tensors."""
    torch.manual_seed(seed)
    state = Autoencoder(SMALL.model_copy(update=changes)).state_dict()
    drawn = {public_keys.AUTOENCODER + name: torch.randn_like(value) * 0.2 for name, value in state.items()}
    save_file({**drawn, "model.diffusion_model.out.2.bias": torch.zeros(3)}, path)
    return path


def codec(path: Path, **changes) -> Codec:
    return build_codec(SMALL.model_copy(update={"path": str(path), **changes}))


def architecture(small: Architecture, path: Path) -> Architecture:
    """The smallest animator with an autoencoder of this file, which the description names by its digest."""
    own = with_digest(SMALL.model_copy(update={"path": str(path)})).model_copy(update={"path": None})
    unet = small.unet.model_copy(update={"latent_channels": SMALL.channels})
    return small.model_copy(update={"codec": own, "unet": unet, "height": 16, "width": 16})


def write_animator(folder: Path, described: Architecture, codec_path: Path) -> Path:
    own = described.codec.model_copy(update={"path": str(codec_path)})
    write_bundle(
        folder,
        public_state(Animator(described.model_copy(update={"codec": own})).network),
        BundleOrigin(
            architecture=described,
            stage=3,
            preset="tiny",
            config_hash="c" * 64,
            dataset_digest=None,
            parent=None,
        ),
        model_card="# test\n",
    )
    return folder


def test_the_shipped_codec_reconstructs_unseen_frames(shipped, frames):
    built = build_codec(shipped)
    latents = built.encode(frames)
    cells = [side // shipped.patch for side in frames.shape[-2:]]
    assert latents.shape == (len(frames), shipped.channels, *cells)
    errors = (built.decode(latents) - frames).square().flatten(1).mean(1)
    decibels = 10 * torch.log10(2**2 / errors)  # PSNR; pixels span 2
    assert float(decibels.mean()) >= 30, decibels


def test_the_shipped_codecs_latents_suit_diffusion(shipped, frames):
    mean, std = build_codec(shipped).posterior(frames)
    assert abs(float(mean.mean())) < 0.25 and float(mean.std()) == pytest.approx(1, abs=0.25)
    assert torch.equal(std, torch.zeros_like(mean)), "its posterior is a point"


def test_the_shipped_codec_shows_no_more_of_its_cells_than_the_frames(shipped, frames):
    """A codec of blocks has steps at their edges: differences there are as large as everywhere else."""
    decoded, patch = build_codec(shipped).decode(build_codec(shipped).encode(frames)), shipped.patch

    def excess(pixels: torch.Tensor) -> float:
        steps = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((0, 1, 2))
        edges = torch.arange(1, pixels.shape[-1]) % patch == 0
        return float(steps[edges].mean() / steps[~edges].mean())

    assert excess(decoded) == pytest.approx(excess(frames), rel=0.15)


def test_the_shipped_codec_and_prior_stay_small(shipped):
    with torch.device("meta"):
        count = sum(value.numel() for value in Autoencoder(shipped).parameters())
    assert count <= 1_500_000
    assert sum(file.stat().st_size for file in PRIOR.iterdir()) <= 10 * 2**20


def test_a_codec_without_a_path_is_the_one_that_ships(shipped, frames):
    named = build_codec(shipped.model_copy(update={"path": str(PRIOR_WEIGHTS)}))
    unnamed = build_codec(shipped.model_copy(update={"path": None}))
    assert torch.equal(unnamed.encode(frames[:2]), named.encode(frames[:2]))


def test_the_digest_of_the_shipped_bundle_is_that_of_its_weights(shipped):
    assert shipped.digest is not None
    assert with_digest(shipped.model_copy(update={"digest": None})) == shipped


def test_a_bundle_without_codec_of_its_own_reads_the_shipped_one(small, shipped, tmp_path):
    unet = small.unet.model_copy(update={"latent_channels": shipped.channels})
    described = small.model_copy(update={"codec": shipped, "unet": unet, "height": 64, "width": 64})
    bundle = open_bundle(write_animator(tmp_path / "bundle", described, PRIOR_WEIGHTS))
    assert bundle.missing_parts() == []
    assert bundle.complete_architecture().codec.path is None
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    assert torch.equal(bundle.animator().codec.encode(pixels), build_codec(shipped).encode(pixels))


def test_weights_stay_frozen_in_float32_whatever_the_file_stores(tmp_path):
    half = tmp_path / "half.safetensors"
    path = weights_file(tmp_path / "whole.safetensors")
    save_file({key: value.half() for key, value in load_file(path).items()}, half)
    built = codec(half).train()
    values = list(built.parameters())
    assert values and {value.dtype for value in values} == {torch.float32}
    assert not built.training and not any(value.requires_grad for value in values)


def test_latents_name_the_encoder_that_made_them_and_not_the_decoder(tmp_path):
    path, other = (weights_file(tmp_path / f"{seed}.safetensors", seed) for seed in range(2))
    mixed = tmp_path / "mixed.safetensors"
    encoder = public_keys.AUTOENCODER + "encoder."
    theirs = load_file(other)
    save_file(
        {key: value if key.startswith(encoder) else theirs[key] for key, value in load_file(path).items()},
        mixed,
    )
    assert codec_digest(codec(mixed)) == codec_digest(codec(path)) != codec_digest(codec(other))
    pixels = torch.rand(1, 3, 16, 8) * 2 - 1
    assert torch.equal(codec(mixed).encode(pixels), codec(path).encode(pixels))
    # The digest that a network records is of both: what it makes goes through the decoder.
    digests = {
        with_digest(SMALL.model_copy(update={"path": str(each)})).digest for each in (path, other, mixed)
    }
    assert len(digests) == 3


def test_other_weights_than_the_recorded_are_refused_with_both_digests(tmp_path):
    ours, others = (weights_file(tmp_path / f"{seed}.safetensors", seed) for seed in range(2))
    digests = [with_digest(SMALL.model_copy(update={"path": str(each)})).digest for each in (ours, others)]
    assert isinstance(codec(ours, digest=digests[0]), Codec)
    with pytest.raises(AnimaticError, match="was trained with frame codec") as caught:
        codec(others, digest=digests[0])
    message = str(caught.value)
    assert all(str(digest)[:12] in message for digest in digests)
    assert str(others) in message and "--codec" in message and "\n" not in message


def test_the_folder_of_a_bundle_names_its_codec(small, tmp_path):
    weights = weights_file(tmp_path / "codec.safetensors")
    described = architecture(small, weights)
    bundle = open_bundle(write_animator(tmp_path / "bundle", described, weights))
    with pytest.raises(AnimaticError, match="does not have the weights of this architecture"):
        bundle.animator()  # the shipped codec has other sizes
    holder = tmp_path / "holder"
    shutil.copytree(bundle.folder, holder)
    save_file(bundle.state() | load_file(weights), holder / "model.safetensors")
    assert bundle.missing_parts(codec=str(holder)) == []
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    found = bundle.animator(codec=str(holder)).codec.encode(pixels)
    assert torch.equal(found, codec(weights).encode(pixels))
    # A bundle that has a codec in its file uses it.
    assert torch.equal(open_bundle(holder, verify=False).animator().codec.encode(pixels), found)


def test_files_that_are_no_such_codec_are_refused(tmp_path):
    path = weights_file(tmp_path / "codec.safetensors")
    with pytest.raises(AnimaticError, match=r"no file at .*absent\.safetensors \(model\.codec\.path\)"):
        codec(tmp_path / "absent.safetensors")
    with pytest.raises(AnimaticError, match=r"does not have the weights of this architecture: .*missing"):
        codec(path, res_blocks=2)
    with pytest.raises(AnimaticError, match=r"another shape"):
        codec(path, width=8)
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AnimaticError, match=r"is damaged"):
        codec(tmp_path / "cut.safetensors")


def test_sizes_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match=r"a conv of 2 levels .* 4 times, but codec\.patch is 8"):
        CodecConfig(kind="conv", channel_mult=(1, 2), patch=8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_no_latent_and_no_frame(tmp_path, dtype):
    built, pixels = codec(weights_file(tmp_path / "codec.safetensors")), torch.rand(2, 3, 16, 16) * 2 - 1
    latents = built.encode(pixels)
    frames = built.decode(latents)
    with torch.autocast("cpu", dtype):
        assert torch.equal(built.encode(pixels), latents)
        assert torch.equal(built.decode(latents), frames)
