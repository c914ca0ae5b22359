"""diffusers and transformers load the exported parts, and compute with them what the animator computes."""

import hashlib
import json
import re

import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from core.errors import AnimaticError
from models.architecture import DiffusionConfig, EncoderConfig
from models.bundle import BundleOrigin, open_bundle, write_bundle
from models.checkpoints import export_diffusers, published_layout
from models.diffusion.sampler import sample
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings
from models.encoders.build import build_codec
from models.encoders.clip import ClipEncoders, preprocess
from tests.support.published import small_published_architecture
from tests.support.small_animator import small_architecture

NAME = "animatic-test-diffusers"
STRUCTURE = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 16, "layers": 2, "width": 24, "head_width": 12, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 3},
}
PROMPTS = ["", "A red ball!! rolls, it's  fast ! 25 km", "a long tale " * 40]


def bundle(folder, *, diffusion=None, encoders=None, **unet):
    """A small bundle with all published parts in its file, every tensor drawn."""
    unet = {"detail_guidance": True, **unet}
    base = small_published_architecture(diffusion or DiffusionConfig(), **unet)
    architecture = base.model_copy(update={"encoders": encoders or EncoderConfig(model=NAME)})
    generator = torch.Generator().manual_seed(0)
    shapes = {key: shape for part in published_layout(architecture).values() for key, shape in part.items()}
    state = {
        key: torch.randn(shape, generator=generator) / max(shape[-1] if len(shape) > 1 else 1, 4) ** 0.5
        for key, shape in shapes.items()
    }
    origin = BundleOrigin(
        architecture=architecture,
        stage=3,
        preset="tiny",
        config_hash="",
        dataset_digest=None,
        parent=None,
        sampling=SamplingSettings(steps=10, spacing="uniform_trailing"),
    )
    write_bundle(folder, state, origin, model_card="# small\n")
    return open_bundle(folder)


@pytest.fixture(scope="module", autouse=True)
def structure(tmp_path_factory):
    """A small model that open_clip knows by name."""
    described = tmp_path_factory.mktemp("models") / f"{NAME}.json"
    described.write_text(json.dumps(STRUCTURE))
    open_clip.add_model_config(described)


@pytest.fixture(scope="module")
def exported(structure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    opened = bundle(folder / "bundle")
    return opened, export_diffusers(opened, folder / "diffusers")


def test_the_autoencoder_encodes_and_decodes_as_ours(exported):
    opened, done = exported
    ours = build_codec(opened.complete_architecture().codec)
    vae, loading = AutoencoderKL.from_pretrained(done.folder / "vae", output_loading_info=True)
    assert not any(loading.values())
    frames = torch.tanh(torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        posterior = vae.encode(frames).latent_dist
        factor = vae.config.scaling_factor
        mean, std = ours.posterior(frames)
        torch.testing.assert_close(posterior.mean * factor, mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(posterior.std * factor, std, rtol=1e-4, atol=1e-4)
        decoded = vae.decode(mean / factor).sample.clamp(-1, 1)
    torch.testing.assert_close(decoded, ours.decode(mean), rtol=1e-4, atol=1e-4)
    assert decoded.std() > 0.1


def test_prompts_become_the_same_text_context(exported):
    opened, done = exported
    ours = ClipEncoders(opened.complete_architecture().encoders)
    tokenizer = CLIPTokenizer.from_pretrained(done.folder / "tokenizer")
    model, loading = CLIPTextModel.from_pretrained(done.folder / "text_encoder", output_loading_info=True)
    assert not any(loading.values())
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        found = model.eval()(input_ids=ids).last_hidden_state
    wanted = ours.text(PROMPTS)
    assert found.shape == wanted.shape == (3, 77, 16)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_pictures_become_the_same_image_tokens(exported):
    opened, done = exported
    ours = ClipEncoders(opened.complete_architecture().encoders)
    model, loading = CLIPVisionModelWithProjection.from_pretrained(
        done.folder / "image_encoder", output_loading_info=True
    )
    assert not any(loading.values())
    levels = torch.randint(0, 256, (16, 16, 3), generator=torch.Generator().manual_seed(1))
    pixels = levels.permute(2, 0, 1)[None] / 127.5 - 1
    processor = CLIPImageProcessor.from_pretrained(done.folder / "feature_extractor")
    read = processor(Image.fromarray(levels.byte().numpy()), return_tensors="pt").pixel_values
    torch.testing.assert_close(read, preprocess(pixels, 16), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        found = model.eval()(pixel_values=read).last_hidden_state
    torch.testing.assert_close(found, ours.image(pixels), rtol=1e-4, atol=1e-5)
    wide = processor(Image.new("RGB", (40, 20)), return_tensors="pt").pixel_values
    assert wide.shape == (1, 3, 16, 16)  # squashed, not cropped


# With eta = 1, DDIMScheduler takes the root of a negative rounding error at zero terminal SNR.
@pytest.mark.parametrize("eta", [0.0, 0.999])
@pytest.mark.parametrize("spacing", ["uniform", "uniform_trailing"])
@pytest.mark.parametrize(
    "diffusion", [DiffusionConfig(), DiffusionConfig(parameterization="eps", zero_terminal_snr=False)]
)
def test_the_scheduler_samples_as_ours(tmp_path, eta, spacing, diffusion):
    from models.checkpoints.diffusers.scheduler import write_scheduler

    settings = SamplingSettings(steps=10, eta=eta, text_guidance=1.0, spacing=spacing)
    write_scheduler(diffusion, settings, tmp_path)
    scheduler = DDIMScheduler.from_pretrained(tmp_path / "scheduler")
    noise = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))

    def draws():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    wanted = sample(Diffusion(diffusion), lambda x, step, names: [torch.sin(3 * x)], noise, settings, draws())
    generators, x = draws(), noise
    scheduler.set_timesteps(settings.steps)
    for step in scheduler.timesteps:
        added = torch.stack([torch.randn(x.shape[1:], generator=each) for each in generators])
        x = scheduler.step(torch.sin(3 * x), step, x, eta=eta, variance_noise=added).prev_sample
    torch.testing.assert_close(x, wanted, rtol=1e-3, atol=1e-3)


def test_the_folder_states_every_digest_and_promises_no_pipeline(exported, tmp_path):
    opened, done = exported
    found = {
        path.relative_to(done.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in done.folder.rglob("*")
        if path.is_file() and path.relative_to(done.folder).as_posix() != "README.md"
    }
    text = (done.folder / "README.md").read_text()
    assert found == dict(done.files) == dict(re.findall(r"^\| `(\S+)` \| [\d,]+ \| `(\w+)` \|$", text, re.M))
    assert "model_index.json" not in found
    assert load_file(done.folder / "unet" / "model.safetensors").keys() == opened.state().keys()
    architecture = json.loads((done.folder / "unet" / "architecture.json").read_text())
    assert architecture["codec"]["width"] == 32 and "path" not in architecture["codec"]
    # Nothing of where it was written, which would differ between two exports.
    again = export_diffusers(opened, tmp_path / "again")
    assert again.files == done.files
    assert (again.folder / "README.md").read_text() == text
    for path in done.folder.rglob("*"):
        assert not path.is_file() or str(opened.folder.parent).encode() not in path.read_bytes()


def test_what_no_class_computes_is_left_out_by_name(tmp_path):
    rescaled = bundle(tmp_path / "bundle", diffusion=DiffusionConfig(base_scale=0.7))
    done = export_diffusers(rescaled, tmp_path / "out")
    assert done.left_out == {"scheduler": "diffusers' DDIMScheduler has no dynamic rescale (base_scale 0.7)"}
    assert not (tmp_path / "out" / "scheduler").exists()
    assert "no dynamic rescale" in (tmp_path / "out" / "README.md").read_text()


def test_a_video_network_has_no_image_encoder_and_takes_an_autoencoder_from_a_folder(exported, tmp_path):
    _, first = exported
    video = bundle(tmp_path / "bundle", image_cross_attention=False, detail_guidance=False)
    done = export_diffusers(video, tmp_path / "out", codec=str(first.folder / "vae"))
    assert set(done.left_out) == {"image_encoder", "feature_extractor"}
    files = {name: digest for name, digest in first.files.items() if name.startswith("vae/")}
    # The path of the folder is not in the configuration.
    assert files == {name: digest for name, digest in done.files.items() if name.startswith("vae/")}


@pytest.mark.parametrize(
    ("structure", "problem"),
    [
        ({"vision_cfg": {**STRUCTURE["vision_cfg"], "no_ln_pre": True}}, "image encoder.*pre_layrnorm"),
        ({"text_cfg": {**STRUCTURE["text_cfg"], "ls_init_value": 0.1}}, "text encoder.*unexpected 4"),
        ({"text_cfg": {**STRUCTURE["text_cfg"], "vocab_size": 100}}, "vocabulary"),
        ({"vision_cfg": {**STRUCTURE["vision_cfg"], "layers": [1, 1, 1, 1], "width": 64}}, "ModifiedResNet"),
    ],
)
def test_encoders_of_another_structure_are_refused_before_anything_is_written(tmp_path, structure, problem):
    name = "animatic-test-other"
    described = tmp_path / f"{name}.json"
    described.write_text(json.dumps(STRUCTURE | structure))
    open_clip.add_model_config(described)
    opened = bundle(tmp_path / "bundle", encoders=EncoderConfig(model=name))
    with pytest.raises(AnimaticError, match=problem):
        export_diffusers(opened, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_codec_without_a_class_and_missing_parts_are_refused_by_name(tmp_path):
    base = BundleOrigin(
        architecture=small_architecture(),
        stage=3,
        preset="tiny",
        config_hash="",
        dataset_digest=None,
        parent=None,
    )
    write_bundle(tmp_path / "dct", {"model.x": torch.zeros(1)}, base, model_card="# x\n")
    architecture = small_published_architecture().model_copy(update={"encoders": EncoderConfig(model=NAME)})
    lacking = base.model_copy(update={"architecture": architecture})
    write_bundle(tmp_path / "lacking", {"model.x": torch.zeros(1)}, lacking, model_card="# x\n")
    for name, problem in (
        ("dct", "codec is dct"),
        ("lacking", "autoencoder and the text and image encoders"),
    ):
        with pytest.raises(AnimaticError, match=problem):
            export_diffusers(open_bundle(tmp_path / name), tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
