"""The autoencoder opens from every published form; its memory is bounded without changing its output."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from core.errors import AnimaticError
from models.architecture import CodecConfig
from models.encoders.build import build_codec
from models.encoders.vae import build_vae, from_ldm, ldm_names, to_ldm
from models.encoders.vae_codec import VaeCodec
from tests.support.paths import PUBLIC_KEYS

KEYS = PUBLIC_KEYS / "dynamicrafter_512_and_1024.tsv"
SMALL = CodecConfig(width=32, channel_mult=(1, 2, 1), res_blocks=1, patch=4, decode_tile=None)


@pytest.fixture
def vae():
    """A small autoencoder with every weight drawn."""
    torch.manual_seed(0)
    vae = build_vae(SMALL)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.randn_like(parameter) / max(parameter[0].numel(), 1) ** 0.5)
    return vae


@pytest.fixture
def published(vae, tmp_path) -> Path:
    """The same weights in a file that also holds other parts of a published checkpoint."""
    path = tmp_path / "model.safetensors"
    state = {key: value.contiguous() for key, value in to_ldm(vae).items()}
    save_file({**state, "betas": torch.zeros(1000), "model.diffusion_model.out.0.bias": torch.zeros(3)}, path)
    return path


def codec(path: Path, **changes) -> VaeCodec:
    built = build_codec(SMALL.model_copy(update={"path": str(path), **changes}))
    assert isinstance(built, VaeCodec)
    return built


def pixels(*shape: int) -> torch.Tensor:
    return torch.tanh(torch.randn(shape, generator=torch.Generator().manual_seed(1)))


def test_full_size_names_and_shapes_are_the_published_ones():
    rows = [
        line.split("\t") for line in KEYS.read_text().splitlines() if line.startswith("first_stage_model.")
    ]
    state = to_ldm(build_vae(CodecConfig(), device="meta"))
    assert {key: "x".join(map(str, value.shape)) for key, value in state.items()} == dict(rows)
    assert len(state) == 248 and sum(value.numel() for value in state.values()) == 83_653_863


def test_names_map_both_ways_without_loss(vae):
    names = ldm_names(vae)
    assert len(set(names.values())) == len(names) == len(list(vae.parameters()))
    restored = from_ldm(vae, to_ldm(vae))
    assert all(torch.equal(restored[name], value) for name, value in vae.named_parameters())
    # Decoder blocks count from the finest level in public, from the coarsest in diffusers.
    assert names["decoder.up_blocks.0.resnets.0.conv1.weight"].endswith("decoder.up.2.block.0.conv1.weight")


def test_folder_and_published_file_are_the_same_autoencoder(vae, published, tmp_path):
    vae.save_pretrained(tmp_path / "vae")
    bare = tmp_path / "bare.safetensors"
    save_file(
        {key.removeprefix("first_stage_model."): x.contiguous() for key, x in to_ldm(vae).items()}, bare
    )
    x = pixels(2, 3, 16, 8)
    latents = [codec(path).encode(x) for path in (tmp_path / "vae", published, bare)]
    frames = [codec(path).decode(latents[0]) for path in (tmp_path / "vae", published, bare)]
    assert latents[0].shape == (2, 4, 4, 2) and frames[0].shape == x.shape
    assert frames[0].std() > 0.1 and frames[0].abs().max() <= 1
    for other in (1, 2):
        assert torch.equal(latents[0], latents[other]) and torch.equal(frames[0], frames[other])


def test_pruned_weights_open_in_float32(vae, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({key: value.half().contiguous() for key, value in to_ldm(vae).items()}, path)
    opened = codec(path).vae
    assert opened.dtype == torch.float32 and not opened.training
    assert not any(parameter.requires_grad for parameter in opened.parameters())
    assert torch.equal(opened.quant_conv.weight, vae.quant_conv.weight.half().float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frames_are_encoded_and_decoded_in_float32_under_autocast(published, dtype):
    dct = build_codec(CodecConfig(kind="dct", patch=4, luma=10, chroma=3))
    for built in (codec(published), dct):
        x = pixels(2, 3, 16, 16)
        exact, frames = built.posterior(x), built.decode(built.encode(x))
        with torch.autocast("cpu", dtype):
            assert all(torch.equal(*pair) for pair in zip(built.posterior(x), exact, strict=True))
            assert torch.equal(built.encode(x), exact[0])
            assert torch.equal(built.decode(exact[0]), frames)
        assert built.posterior(x.to(dtype))[0].dtype == torch.float32


def test_slicing_gives_the_same_result(published):
    x, generators = pixels(3, 3, 16, 16), [torch.Generator().manual_seed(i) for i in range(3)]
    sliced, whole = codec(published), codec(published, slicing=False)
    sizes = watch(sliced.vae.encoder)
    latents = sliced.encode(x)
    assert [size[0] for size in sizes] == [1, 1, 1]
    torch.testing.assert_close(latents, whole.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sliced.decode(latents), whole.decode(latents), rtol=1e-4, atol=1e-5)
    # A frame's drawn latent depends on its own generator alone.
    alone = sliced.encode(x[1:2], [torch.Generator().manual_seed(1)])
    torch.testing.assert_close(sliced.encode(x, generators)[1:2], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, latents[1:2], atol=1e-2)


def test_only_large_frames_are_decoded_in_tiles(published):
    tiled, whole = codec(published, decode_tile=32), codec(published)
    latents = whole.encode(pixels(1, 3, 64, 48))
    sizes = watch(tiled.vae.decoder)
    frames = tiled.decode(latents)
    assert frames.shape == (1, 3, 64, 48)
    assert len(sizes) > 1 and all(max(size[-2:]) <= 8 for size in sizes)
    # Up to the quarter that it shares with the next, a tile is the decoded piece; then they are blended.
    first = whole.decode(latents[:, :, :8, :8])
    torch.testing.assert_close(frames[..., :24, :24], first[..., :24, :24])
    assert not torch.allclose(frames[..., :32, :32], first, atol=1e-3)
    del sizes[:]
    small = latents[:, :, :8, :8]
    torch.testing.assert_close(tiled.decode(small), whole.decode(small))
    assert [tuple(size[-2:]) for size in sizes] == [(8, 8)]
    # Encoding after decoding is whole: training latents are the published ones.
    sizes = watch(tiled.vae.encoder)
    torch.testing.assert_close(tiled.encode(pixels(1, 3, 64, 48)), latents)
    assert [tuple(size[-2:]) for size in sizes] == [(64, 48)]


def test_inconsistent_sizes_are_refused():
    with pytest.raises(
        ValidationError, match=r"3 levels .* shrinks each side 4 times, but codec\.patch is 8"
    ):
        CodecConfig(channel_mult=(1, 2, 4))
    with pytest.raises(ValidationError, match=r"decode_tile must be a multiple of 32, got 100"):
        CodecConfig(decode_tile=100)


def test_files_that_are_no_autoencoder_are_refused(vae, published, tmp_path):
    with pytest.raises(AnimaticError, match=r"model\.codec\.path is not set"):
        build_codec(SMALL)
    with pytest.raises(AnimaticError, match=r"no file at .*absent\.safetensors"):
        codec(tmp_path / "absent.safetensors")
    with pytest.raises(AnimaticError, match=r"config\.json is missing"):
        codec(tmp_path)
    (tmp_path / "vae.ckpt").write_bytes(b"")
    with pytest.raises(AnimaticError, match=r"model\.codec\.path: .* is no checkpoint but empty"):
        codec(tmp_path / "vae.ckpt")
    torch.save({}, tmp_path / "vae.ckpt")
    with pytest.raises(AnimaticError, match=r"is no safetensors file; `animatic import-checkpoint`"):
        codec(tmp_path / "vae.ckpt")
    (tmp_path / "text.safetensors").write_bytes(b"broken")
    with pytest.raises(AnimaticError, match=r"model\.codec\.path: .* is no checkpoint but a text file"):
        codec(tmp_path / "text.safetensors")
    (tmp_path / "broken.safetensors").write_bytes((8).to_bytes(8, "little") + b"{broken}")
    with pytest.raises(AnimaticError, match=r"is damaged"):
        codec(tmp_path / "broken.safetensors")
    with pytest.raises(AnimaticError, match=r"does not have the weights of this architecture: .*missing"):
        codec(published, res_blocks=2)
    with pytest.raises(AnimaticError, match=r"another shape"):
        codec(published, width=64)
    vae.save_pretrained(tmp_path / "vae")
    with pytest.raises(AnimaticError, match=r"tensor names of diffusers: give its folder"):
        codec(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")


def watch(module: torch.nn.Module) -> list[torch.Size]:
    """Shapes of the inputs of ``module`` from now on."""
    seen: list[torch.Size] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    return seen


def test_dct_codec_inverts_the_coefficients_that_it_keeps():
    exact = build_codec(CodecConfig(kind="dct", patch=2, luma=4, chroma=4))
    pixels = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(exact.decode(exact.encode(pixels)), pixels, rtol=1e-4, atol=1e-5)
    lossy = build_codec(CodecConfig(kind="dct", patch=2, luma=2, chroma=1))
    latents = lossy.encode(pixels)
    torch.testing.assert_close(lossy.encode(lossy.decode(latents * 0.2)), latents * 0.2, rtol=1e-3, atol=1e-4)
