"""Compiled blocks: the same numbers and names, one compilation for each kind of block and shape of clips."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import AnimaticError
from models.animate import sample_latents
from models.animator import Animator
from models.diffusion.settings import SamplingSettings
from models.network.activation_checkpointing import checkpoint_activations
from models.network.compilation import compile_blocks, compile_for_sampling, compiler_errors
from models.network.unet import UNet
from tests.support.small_animator import small_animator, small_architecture


def small_unet(**changes: Any) -> UNet:
    small = small_architecture()
    unet = small.unet.model_copy(update=changes)
    return small_animator(small.model_copy(update={"unet": unet})).network.unet


def inputs(frames: int = 3) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    shapes = ((2, 4, frames, 4, 4), (2, 5, 32), (2, frames, 4, 32))
    latents, text, image = (torch.randn(shape, generator=draw) for shape in shapes)
    return latents, torch.tensor([3, 700]), text, image, torch.tensor([8.0, 4.0])


class Counting:
    """A compiler that runs the traced operations as they are.

    Attributes:
        compiled: number of graphs that it was given.
    """

    def __init__(self) -> None:
        self.compiled = 0

    def __call__(self, graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        self.compiled += 1
        return graph.forward


@pytest.mark.slow
@torch.no_grad()
def test_blocks_are_compiled_once_for_each_kind_and_shape_and_compute_the_same():
    unet, compiler = small_unet(channel_mult=(1,), attention_resolutions=(1,)), Counting()
    names = list(unet.state_dict())
    plain = [unet(*inputs(frames)) for frames in (3, 2)]
    compile_blocks(unet, compiler)
    assert torch.equal(unet(*inputs(3)), plain[0])
    # 6 residual blocks of 2 widths of input, 5 spatial transformers, and the temporal ones, of which the
    # first one is of another kind.
    kinds = compiler.compiled
    assert kinds == 5
    assert torch.equal(unet(*inputs(2)), plain[1])
    assert torch.equal(unet(*inputs(3)), plain[0])
    assert compiler.compiled == 2 * kinds
    assert list(unet.state_dict()) == names


def loss_and_gradients(unet: UNet) -> tuple[Tensor, dict[str, Tensor]]:
    unet.zero_grad()
    loss = unet(*inputs()).square().mean()
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in unet.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", ["none", "selective", "full"])
def test_compiled_code_has_the_loss_and_gradients_of_the_plain_one(recomputed):
    unet = small_unet(channel_mult=(1,), attention_resolutions=(1,)).train()
    loss, gradients = loss_and_gradients(unet)
    compile_blocks(unet)
    checkpoint_activations(unet, recomputed)
    for _ in range(2):
        compiled_loss, compiled = loss_and_gradients(unet)
        torch.testing.assert_close(compiled_loss, loss, rtol=1e-5, atol=0)
        torch.testing.assert_close(compiled, gradients, rtol=1e-4, atol=1e-6)


SETTINGS = SamplingSettings(steps=3, eta=0.0, text_guidance=3.0, image_guidance=1.5, cache_every=2)


def one_level() -> Animator:
    small = small_architecture()
    unet = small.unet.model_copy(update={"channel_mult": (1,), "attention_resolutions": (1,)})
    return small_animator(small.model_copy(update={"unet": unet}))


def sampled(animator: Animator) -> Tensor:
    size = (animator.architecture.height, animator.architecture.width)
    pictures = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return sample_latents(animator, pictures, ["a ball"], SETTINGS)


@pytest.mark.slow
def test_a_compiled_network_samples_the_same_clip():
    animator, compiler = one_level(), Counting()
    plain = sampled(animator)
    compile_for_sampling(animator.network.unet, "off", compiler)
    assert torch.equal(sampled(animator), plain) and compiler.compiled == 0
    compile_for_sampling(animator.network.unet, "blocks", compiler)
    torch.testing.assert_close(sampled(animator), plain, rtol=1e-5, atol=1e-5)
    assert compiler.compiled > 0


class FakeGraphs:
    """``torch.compile`` that overwrites what its functions returned as soon as the next pass begins.

    Attributes:
        modes: that functions were compiled in.
    """

    def __init__(self) -> None:
        self.modes: list[str | None] = []
        self._returned: list[Tensor] = []

    def compile(
        self, function: Callable[..., Tensor], *, mode: str | None, **_: Any
    ) -> Callable[..., Tensor]:
        self.modes.append(mode)

        def compiled(*args: Any, **kwargs: Any) -> Tensor:
            result = function(*args, **kwargs).clone()
            self._returned.append(result)
            return result

        return compiled

    def begin_step(self) -> None:
        for result in self._returned:
            result.fill_(torch.nan)
        self._returned.clear()


def test_what_a_graph_returned_is_not_read_in_a_later_pass(monkeypatch):
    animator, graphs = one_level(), FakeGraphs()
    plain = sampled(animator)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.compile", graphs.compile)
    monkeypatch.setattr("torch.compiler.cudagraph_mark_step_begin", graphs.begin_step)
    compile_for_sampling(animator.network.unet, "graphs")
    assert set(graphs.modes) == {"reduce-overhead"}
    assert torch.equal(sampled(animator), plain)


def test_graphs_without_cuda_are_compiled_blocks(monkeypatch):
    graphs = FakeGraphs()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.compile", graphs.compile)
    animator = one_level()
    compile_for_sampling(animator.network.unet, "graphs")
    assert set(graphs.modes) == {None}
    assert not animator.network.unet._forward_pre_hooks


def test_a_compiler_that_does_not_work_is_named():
    def broken(*_: Any) -> Any:
        raise RuntimeError("no C++ compiler")

    unet = one_level().network.unet
    compile_for_sampling(unet, "blocks", broken)
    with (
        pytest.raises(
            AnimaticError,
            match=r"torch\.compile does not work here \(.*no C\+\+ compiler.*\): sample without",
        ),
        compiler_errors("blocks"),
    ):
        unet(*inputs())
