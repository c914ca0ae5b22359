"""Channels stay last through the network in both passes; what it copies to change a layout is counted."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.architecture import UNetConfig
from models.network.attention import GroupNorm, TemporalTransformer
from models.network.blocks import ResBlock, spatial_transformer
from models.network.unet import UNet

CONFIG = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(1, 2),
    num_head_channels=8, context_dim=16, norm_groups=8, dropout=0.0,
)  # fmt: skip
BATCH, FRAMES, HEIGHT, WIDTH = 2, 3, 6, 4
COPIES = {"clone", "copy_", "_to_copy"}


class LayoutCopies(TorchDispatchMode):
    """Counts copies of activations whose strides are others than those of what is copied.

    Copies for another type alone, and gradients on their way to the layout of their weights, do not count.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._weights = {parameter.shape for parameter in module.parameters()}
        self.count = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in COPIES:
            source = args[1] if func.overloadpacket.__name__ == "copy_" else args[0]
            changed = source.stride() != result.stride() and source.shape not in self._weights
            self.count += changed and source.numel() > BATCH * FRAMES * CONFIG.model_channels
        return result


def stream() -> Tensor:
    """Of the residual stream, (b·t c h w), channels last."""
    x = torch.randn(BATCH * FRAMES, CONFIG.model_channels, HEIGHT, WIDTH)
    return x.contiguous(memory_format=torch.channels_last)


def resnet(dtype: torch.dtype) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    block = ResBlock(CONFIG, 32, 32).to(dtype)
    emb = torch.randn(BATCH * FRAMES, 128, dtype=dtype)
    return block, lambda x: block(x, emb, FRAMES)


def spatial(dtype: torch.dtype) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    block = spatial_transformer(CONFIG, 32).to(dtype)
    text, image = torch.randn(BATCH, 7, 16, dtype=dtype), torch.randn(BATCH * FRAMES, 4, 16, dtype=dtype)
    return block, lambda x: block(x, text, image)


def temporal(dtype: torch.dtype) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    block = TemporalTransformer(32, 8, 8).to(dtype)
    return block, lambda x: block(x, FRAMES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("build", "copies"),
    [
        (resnet, (0, 0)),
        (spatial, (0, 0)),
        # Frames of a pixel become a sequence, and so does their gradient.
        (temporal, (1, 1)),
    ],
)
def test_a_block_changes_layouts_only_where_attention_over_time_needs_it(build, copies, dtype):
    block, run = build(dtype)
    x, gradient = stream().requires_grad_(), stream()
    with LayoutCopies(block) as forward:
        result = run(x)
    assert result.is_contiguous(memory_format=torch.channels_last)
    with LayoutCopies(block) as backward:
        result.backward(gradient)
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
    assert (forward.count, backward.count) == copies


def test_every_convolution_of_the_network_reads_and_returns_channels_last_in_both_passes():
    unet, seen = UNet(CONFIG), []

    def check(_: nn.Module, *passed: Any) -> None:
        tensors = [
            x for each in passed for x in (each if isinstance(each, tuple) else (each,)) if x is not None
        ]
        # The gradient of a concatenation is a slice: its channels are last, with others between the pixels.
        seen.append(all(x.stride(1) == 1 for x in tensors))

    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(check)
            module.register_full_backward_hook(check)
    latents = torch.randn(BATCH, CONFIG.in_channels, FRAMES, HEIGHT, WIDTH, requires_grad=True)
    text, image = torch.randn(BATCH, 7, 16), torch.randn(BATCH, FRAMES, 4, 16)
    unet(latents, torch.tensor([3, 700]), text, image).square().sum().backward()
    convolutions = sum(isinstance(module, nn.Conv2d) for module in unet.modules())
    assert len(seen) == 2 * convolutions and all(seen)


@pytest.mark.parametrize("dims", [4, 5])
def test_a_norm_keeps_channels_last_where_the_kernel_does_not(monkeypatch, dims):
    kernel = F.group_norm
    monkeypatch.setattr(F, "group_norm", lambda *given: kernel(*given).contiguous())
    norm = GroupNorm(8, 32).to(torch.bfloat16)
    last = (torch.channels_last, torch.channels_last_3d)[dims - 4]
    x = torch.randn(2, 32, *(3, 6, 4)[5 - dims :])
    for given, kept in ((x.contiguous(memory_format=last), last), (x, torch.contiguous_format)):
        result = norm(given)
        assert result.is_contiguous(memory_format=kept)
        torch.testing.assert_close(result, kernel(given, 8).to(torch.bfloat16))
