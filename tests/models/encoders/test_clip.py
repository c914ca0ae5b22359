"""CLIP towers open from open_clip's files and from the tensors inside a published checkpoint."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import Architecture, EncoderConfig
from models.encoders.clip import ClipEncoders, preprocess
from tests.support.paths import PUBLIC_KEYS

KEYS = PUBLIC_KEYS / "dynamicrafter_512_and_1024.tsv"
NAME = "animatic-test-small"
STRUCTURE = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 24, "head_width": 12, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 3},
}
CAPTIONS = ["", "a red ball rolls to the left"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> open_clip.CLIP:
    """A small model that open_clip knows by name, with open_clip's own initial weights."""
    described = tmp_path_factory.mktemp("models") / f"{NAME}.json"
    described.write_text(json.dumps(STRUCTURE))
    open_clip.add_model_config(described)
    torch.manual_seed(0)
    return open_clip.create_model(NAME, pretrained=None).eval()


@pytest.fixture
def published(clip, tmp_path) -> Path:
    """The towers as a DynamiCrafter checkpoint has them, each encoder with leftovers, among other tensors."""
    state = clip.state_dict()
    text = {key: value for key, value in state.items() if not key.startswith("visual.")}
    leftovers = {key: value + 1 for key, value in text.items() if not key.startswith("transformer.")}
    image = {key: value for key, value in state.items() if key.startswith("visual.")} | leftovers
    path = tmp_path / "published.safetensors"
    save_file(
        {f"cond_stage_model.model.{key}": value.clone() for key, value in text.items()}
        | {f"embedder.model.{key}": value.clone() for key, value in image.items()}
        | {"betas": torch.zeros(1000), "first_stage_model.quant_conv.bias": torch.zeros(8)},
        path,
    )
    return path


def encoders(path: Path) -> ClipEncoders:
    return ClipEncoders(EncoderConfig(model=NAME, path=str(path)))


def images() -> torch.Tensor:
    return torch.tanh(torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(1)))


def test_every_form_opens_to_the_same_towers(clip, published, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    paths = [tmp_path / "open_clip_pytorch_model.bin", tmp_path / "open_clip_model.safetensors", published]
    opened = [encoders(path) for path in paths]
    texts = [towers.text(CAPTIONS) for towers in opened]
    tokens = [towers.image(images()) for towers in opened]
    assert texts[0].shape == (2, 77, 16) and tokens[0].shape == (2, 1 + 16, 24)
    for other in (1, 2):
        assert torch.equal(texts[0], texts[other]) and torch.equal(tokens[0], tokens[other])


def test_full_size_towers_are_those_inside_the_published_checkpoints():
    rows = dict(line.split("\t") for line in KEYS.read_text().splitlines())
    shapes = {key: tuple(map(int, filter(None, shape.split("x")))) for key, shape in rows.items()}
    text, image = "cond_stage_model.model.", "embedder.model."
    published = {key.removeprefix(text): shapes[key] for key in rows if key.startswith(text)}
    published |= {key.removeprefix(image): shapes[key] for key in rows if key.startswith(image + "visual.")}
    with torch.device("meta"):
        clip = open_clip.CLIP(**open_clip.get_model_config("ViT-H-14"))
    assert {key: tuple(value.shape) for key, value in clip.state_dict().items()} == published


@torch.no_grad()
def test_features_are_those_of_the_named_blocks(clip, published):
    """Text: all blocks but the last, then the final norm. Image: all blocks, no norm, no projection."""
    towers = encoders(published)
    x = clip.token_embedding(open_clip.tokenize(CAPTIONS)) + clip.positional_embedding
    for block in list(clip.transformer.resblocks)[:-1]:
        x = block(x, attn_mask=clip.attn_mask)
    torch.testing.assert_close(towers.text(CAPTIONS), clip.ln_final(x))
    seen = []
    handle = clip.visual.transformer.register_forward_hook(lambda _, inputs, output: seen.append(output))
    clip.encode_image(torch.zeros(1, 3, 32, 32))
    handle.remove()
    # The pixel value that preprocessing maps to zero differs by channel.
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    grey = (2 * mean - 1).expand(1, 3, 32, 32)
    torch.testing.assert_close(towers.image(grey), seen[0], rtol=1e-4, atol=1e-5)


def test_towers_that_are_not_used_are_not_read(clip, published, tmp_path):
    """Without a query transformer nothing looks at the image: its tower may even be missing."""
    state = clip.state_dict()
    text = {key: value for key, value in state.items() if not key.startswith("visual.")}
    save_file(text, tmp_path / "text.safetensors")
    torch.save(text, tmp_path / "text.bin")
    expected = encoders(published).text(CAPTIONS)
    for path in (published, tmp_path / "text.safetensors", tmp_path / "text.bin"):
        towers = ClipEncoders(EncoderConfig(model=NAME, path=str(path)), image=False)
        assert not any(name.startswith("clip.visual.") for name, _ in towers.named_parameters())
        assert torch.equal(towers.text(CAPTIONS), expected)
        with pytest.raises(ValueError, match="no image tower"):
            towers.image(images())
    with pytest.raises(AnimaticError, match=r"missing 32: visual\."):
        encoders(tmp_path / "text.bin")


def test_an_animator_without_image_context_has_no_image_tower(small: Architecture):
    unet = small.unet.model_copy(update={"image_cross_attention": False})
    animator = Animator(small.model_copy(update={"unet": unet, "context": None}))
    whole = Animator(small)
    assert not hasattr(animator.encoders.clip, "visual") and hasattr(whole.encoders.clip, "visual")
    assert torch.equal(animator.encoders.text(CAPTIONS), whole.encoders.text(CAPTIONS))


def test_pruned_weights_open_in_float32_and_frozen(clip, tmp_path):
    path = tmp_path / "half.bin"
    torch.save({key: value.half() for key, value in clip.state_dict().items()}, path)
    towers = encoders(path).train()
    assert {parameter.dtype for parameter in towers.parameters()} == {torch.float32}
    assert not towers.clip.training
    assert not any(parameter.requires_grad for parameter in towers.parameters())


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def test_pickles_with_code_are_refused(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harmful()}, "harmful.bin")
    with pytest.raises(AnimaticError, match=r"harmful\.bin .* contains more than weights"):
        encoders(Path("harmful.bin"))
    assert not Path("unpickled").exists()


def test_files_that_are_no_towers_are_refused(clip, published, tmp_path):
    with pytest.raises(AnimaticError, match=r"no plain CLIP model ViT-H-15"):
        ClipEncoders(EncoderConfig(model="ViT-H-15", path=str(published)))
    with pytest.raises(AnimaticError, match=r"model\.encoders\.path is not set"):
        ClipEncoders(EncoderConfig(model=NAME))
    for name in ("absent.bin", "absent.safetensors"):
        with pytest.raises(AnimaticError, match=f"no file at .*{name}"):
            encoders(tmp_path / name)
    (tmp_path / "page.bin").write_bytes(b"<html>")
    with pytest.raises(AnimaticError, match=r"model\.encoders\.path: .* is no checkpoint but a web page"):
        encoders(tmp_path / "page.bin")
    (tmp_path / "damaged.bin").write_bytes(b"\x80\x02damaged")
    with pytest.raises(AnimaticError, match=r"is damaged"):
        encoders(tmp_path / "damaged.bin")
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(AnimaticError, match=r"contains no named tensors"):
        encoders(tmp_path / "list.bin")
    state = clip.state_dict()
    del state["ln_final.bias"]
    state["visual.proj"] = torch.zeros(24, 13)
    torch.save(state, tmp_path / "other.bin")
    with pytest.raises(AnimaticError, match=r"missing ln_final\.bias; of another shape visual\.proj"):
        encoders(tmp_path / "other.bin")


def test_random_encoders_are_a_function_of_their_seed(small: Architecture):
    first, second = ClipEncoders(small.encoders), ClipEncoders(small.encoders)
    other = ClipEncoders(small.encoders.model_copy(update={"seed": 1}))
    captions = ["a red ball moves left", "a red ball moves right"]
    features = first.text(captions)
    assert features.shape == (2, 77, 32)
    assert torch.equal(features, second.text(captions))
    assert not torch.allclose(features, other.text(captions), atol=0.1)
    assert not torch.allclose(features[0], features[1], atol=0.1)
    assert first.image(torch.zeros(1, 3, 8, 8)).shape == (1, 5, 24)


def test_shrinking_an_image_for_clip_removes_detail_that_would_alias():
    checkerboard = torch.ones(1, 3, 64, 64)
    checkerboard[..., ::2, ::2] = checkerboard[..., 1::2, 1::2] = -1
    grey = preprocess(torch.zeros(1, 3, 16, 16), 16)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(preprocess(checkerboard, 16)[inner], grey[inner], rtol=0, atol=0.02)
