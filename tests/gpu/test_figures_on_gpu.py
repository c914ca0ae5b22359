"""On a GPU the network gives the published numbers, animates as on the CPU, and never waits in between."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from models.animate import animate
from models.animator import Animator
from models.network.compilation import compile_for_sampling
from tests.bench.networks import draw_weights
from tests.parity.__main__ import main
from tests.support.paths import GOLDEN
from tests.support.training_jobs import SyntheticSource, small_config
from training.objectives.denoising import DenoisingObjective

CONFIG = small_config(3)


@pytest.fixture(scope="module")
def animators() -> dict[str, Animator]:
    """The same weights on both devices."""
    torch.manual_seed(0)
    animator = Animator(CONFIG.model).eval()
    draw_weights(animator.network.unet)
    other = Animator(CONFIG.model).eval()
    other.load_state_dict(animator.state_dict())
    return {"cpu": animator, "cuda": other.to("cuda")}


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """While active, the host may not wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["256", "512", "interp", "clip"])
def test_published_numbers(name, capsys, exact_float32):
    code = main(["--device", "cuda", str(GOLDEN / f"{name}.json")])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0, [line for line in lines if not line["pass"]]
    assert lines


def test_loss_and_gradients_are_those_of_the_cpu(animators, exact_float32):
    batch = SyntheticSource(CONFIG).samples([0, 1])
    losses, norms = {}, {}
    for device, animator in animators.items():
        animator.zero_grad(set_to_none=True)
        loss = DenoisingObjective(animator)(batch).mean
        loss.backward()
        losses[device] = float(loss)
        norms[device] = {name: float(p.grad.norm()) for name, p in animator.network.named_parameters()}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-5)
    assert norms["cuda"] == pytest.approx(norms["cpu"], rel=1e-3, abs=1e-6)


def test_the_host_never_waits_for_the_device_in_a_training_pass(animators):
    objective = DenoisingObjective(animators["cuda"])
    batch = SyntheticSource(CONFIG).samples([0, 1]).to("cuda")
    objective(batch).mean.backward()  # kernels are chosen, and constants copied, at the first pass
    with waiting_is_an_error():
        objective(batch).mean.backward()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_clip_is_that_of_the_cpu(animators, precision, exact_float32):
    image = torch.rand(1, 3, CONFIG.model.height, CONFIG.model.width) * 2 - 1
    settings = CONFIG.validation.sampling.model_copy(update={"steps": 5, "eta": 1.0, "precision": precision})
    clips = {device: animate(animator, image, ["a ball"], settings) for device, animator in animators.items()}
    repeated = animate(animators["cuda"], image, ["a ball"], settings)
    assert torch.equal(repeated, clips["cuda"])
    error = float((clips["cuda"] - clips["cpu"]).abs().max())
    assert error < {"float32": 1e-3, "bfloat16": 0.1}[precision]


@pytest.mark.parametrize("compilation", ["blocks", "graphs"])
def test_a_compiled_network_makes_the_clips_of_the_plain_one(animators, compilation, exact_float32):
    compiled = copy.deepcopy(animators["cuda"])
    compile_for_sampling(compiled.network.unet, compilation)
    settings = CONFIG.validation.sampling.model_copy(update={"steps": 6, "eta": 0.0, "cache_every": 2})
    for seed in (1, 2):
        image = torch.rand(1, 3, CONFIG.model.height, CONFIG.model.width) * 2 - 1
        own = settings.model_copy(update={"seed": seed})
        plain = animate(animators["cuda"], image, ["a ball"], own)
        assert float((animate(compiled, image, ["a ball"], own) - plain).abs().max()) < 1e-3
