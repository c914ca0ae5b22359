"""A rehearsal of the GPU without one: training and sampling of every preset on tensors that hold nothing.

FakeTensorMode computes shapes, types and devices alone. It raises where the host would wait for a value of
the device, and where tensors of two devices meet. Networks and frames have their full size; of CLIP's layers,
which are all alike, two are enough. Gradients cannot be rehearsed: autograd itself asks for the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from models.animate import sample_latents
from models.animator import Animator
from models.architecture import CodecConfig, EncoderConfig, TowerConfig
from models.batch import Batch
from models.encoders.conv_codec import Autoencoder
from models.encoders.vae import build_vae
from models.frozen_parts import move
from models.network.activation_checkpointing import checkpoint_activations
from models.network.compilation import compile_blocks
from training.adapter import run_adapter
from training.clock import StepClock
from training.config import RunConfig, presets, resolve
from training.config.sections import ObjectiveConfig
from training.objectives import Teacher, build_objective, teacher_on_meta
from training.objectives.denoising import DenoisingObjective

VIT_H = EncoderConfig(
    kind="random",
    text=TowerConfig(width=1024, layers=2, heads=16),
    image=TowerConfig(width=1280, layers=2, heads=16, patch_size=14, image_size=224),
)

CONSISTENCY = [
    "objective.kind=consistency",
    "model.student.points=50",
    "validation.sampling={solver: consistency, eta: 1.0, steps: 4}",
]

# Presets of adapters have the networks of those that they extend; 512 is 1024 with fewer cells.
NETWORKS = [
    pytest.param(preset, marks=pytest.mark.slow if preset == "512" else ())
    for preset in presets()
    if "lora" not in preset
]


@contextmanager
def gpu(*, autocast: bool = True) -> Iterator[None]:
    """Fake tensors; tensors from outside, the batch of the loader, are those of the CPU."""
    torch.set_autocast_enabled("cuda", autocast)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        torch.set_autocast_enabled("cuda", False)


@pytest.fixture(autouse=True)
def autoencoders_without_a_file(monkeypatch):
    def load(config: CodecConfig) -> nn.Module:
        vae = build_vae(config, device="meta")
        weights = {name: torch.empty_like(value, device="cuda") for name, value in vae.state_dict().items()}
        vae.load_state_dict(weights, assign=True)
        return vae

    def read(config: CodecConfig) -> tuple[dict[str, torch.Tensor], Path]:
        with torch.device("meta"):
            state = Autoencoder(config).state_dict()
        return {name: torch.empty_like(value, device="cuda") for name, value in state.items()}, Path("fake")

    monkeypatch.setattr("models.encoders.vae_codec.load_vae", load)
    monkeypatch.setattr("models.encoders.conv_codec.read_weights", read)


def animator_on_gpu(config: RunConfig) -> Animator:
    architecture = config.model
    if architecture.encoders.kind == "open_clip":
        architecture = architecture.model_copy(update={"encoders": VIT_H})
    with torch.device("cuda"):
        animator = Animator(architecture)
    if config.train.precision == "bf16":
        # Not ``animator.network.bfloat16()``: fake parameters cannot be exchanged in place.
        for module in animator.network.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(value.bfloat16()))
    return animator


def batch(config: RunConfig, *, encoded: bool = False) -> Batch:
    model, images = config.model, config.data.sampling.images_only
    frames = 1 if images else model.frames
    cells = (2, model.codec.channels, *model.latent_size)
    return Batch(
        pixels=torch.zeros(1, 1 if encoded else frames, 3, model.height, model.width, dtype=torch.uint8),
        captions=["a dog runs"],
        fps=torch.ones(1),
        condition_index=torch.zeros(1, dtype=torch.int64),
        drop_text=torch.tensor([False]),
        drop_image=torch.tensor([True]),
        seed=torch.tensor([7]),
        keys=["clip"],
        latents=torch.zeros(1, frames, *cells, dtype=torch.float16) if encoded else None,
        text=torch.zeros(1, 77, model.unet.context_dim, dtype=torch.float16) if encoded else None,
    )


def devices(animator: Animator) -> set[str]:
    """Where the codec and the text tower are."""
    tensors = (*animator.codec.state_dict().values(), animator.encoders.clip.positional_embedding)
    return {tensor.device.type for tensor in tensors}


@pytest.mark.parametrize("preset", NETWORKS)
@pytest.mark.parametrize(("stage", "encoded"), [(1, True), (3, False)])
def test_the_loss_never_waits_for_the_device(preset, stage, encoded):
    config = resolve(stage, preset)
    data = batch(config, encoded=encoded)
    options = ObjectiveConfig(min_snr_gamma=5.0, offset_noise=0.1)
    with gpu():
        animator = animator_on_gpu(config)
        move(animator, "codec", "cpu")
        move(animator, "text tower", "cpu")
        loss = DenoisingObjective(animator, options=options)(data).mean
        used = devices(animator)
    # With stored latents and text features, what computes them stays in host memory.
    assert used == {"cpu" if encoded else "cuda"}
    assert (loss.device.type, loss.dtype, loss.requires_grad) == ("cuda", torch.float32, True)


@pytest.mark.parametrize("sets", [[], ["train.adapter.rank=4"], CONSISTENCY])
def test_what_a_student_learns_never_waits_for_the_device(sets):
    config = resolve(4, "tiny", sets)
    data = batch(config, encoded=True)
    with gpu():
        animator = animator_on_gpu(config)
        move(animator, "text tower", "cpu")
        adapter = run_adapter(config)
        if adapter is None:
            teacher = Teacher(animator_on_gpu(resolve(3, "tiny")).network, config.model.student, None)
        else:
            with torch.device("cuda"):
                animator.network.add_adapter(adapter)
            teacher = teacher_on_meta(config, animator.network)
        loss = build_objective(config, animator, StepClock(), teacher)(data, temporal=True).mean
    assert (loss.device.type, loss.dtype, loss.requires_grad) == ("cuda", torch.float32, True)


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", ["none", "full"])
def test_blocks_are_compiled_whole_without_a_wait_for_the_device(recomputed):
    config, graphs = resolve(3, "tiny"), []
    data = batch(config, encoded=True)
    with gpu():
        animator = animator_on_gpu(config)
        # A block that had to be left, for instance to read a value, would be an error.
        compile_blocks(animator.network.unet, lambda graph, _: graphs.append(graph) or graph.forward)
        checkpoint_activations(animator.network.unet, recomputed)
        loss = DenoisingObjective(animator)(data).mean
    assert (loss.device.type, loss.requires_grad) == ("cuda", True)
    assert len(graphs) == 7


@pytest.mark.parametrize("preset", NETWORKS)
def test_sampling_never_waits_for_the_device(preset):
    config = resolve(3, preset)
    model, settings = config.model, config.validation.sampling.model_copy(update={"steps": 1, "eta": 1.0})
    image = torch.zeros(1, 3, model.height, model.width)
    with gpu(), torch.no_grad():
        animator = animator_on_gpu(config)
        latents = sample_latents(animator, image, ["a dog runs"], settings)
        frame = animator.codec.decode(latents[:, :, 0])
    assert latents.shape == (1, model.codec.channels, model.frames, *model.latent_size)
    assert frame.shape == image.shape and frame.device.type == latents.device.type == "cuda"


def test_the_rehearsal_notices_a_wait_and_a_second_device():
    with gpu():
        value = torch.zeros(3, device="cuda")
        with pytest.raises(DataDependentOutputException):
            int(value[0])
        with pytest.raises(RuntimeError, match="same device"):
            value + torch.zeros(3)
