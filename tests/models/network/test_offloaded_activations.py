"""Recomputed blocks whose inputs are kept in host memory: the same numbers, and nothing else is moved."""

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from models.network.activation_checkpointing import Saving, checkpoint_activations, in_host_memory
from models.network.settings import ActivationCheckpointing
from models.network.unet import UNet
from tests.support.small_animator import small_animator, small_architecture


def inputs() -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    shapes = ((2, 4, 3, 4, 4), (2, 5, 32), (2, 3, 4, 32))
    latents, text, image = (torch.randn(shape, generator=draw) for shape in shapes)
    return latents, torch.tensor([3, 700]), text, image, torch.tensor([8.0, 4.0])


def loss_and_gradients(unet: UNet) -> tuple[Tensor, dict[str, Tensor]]:
    loss = unet(*inputs()).square().mean()
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in unet.named_parameters() if p.grad is not None}


def network(scope: ActivationCheckpointing, saving: Saving | None) -> UNet:
    torch.manual_seed(0)
    small = small_architecture()
    changed = small.unet.model_copy(update={"dropout": 0.1})
    unet = small_animator(small.model_copy(update={"unet": changed})).network.unet.train()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    checkpoint_activations(unet, scope, saving)
    return unet


@pytest.mark.parametrize("scope", ["selective", "full"])
def test_loss_and_gradients_are_bit_equal(scope):
    results = []
    for saving in (None, in_host_memory):
        unet = network(scope, saving)
        torch.manual_seed(1)  # of dropout
        results.append(loss_and_gradients(unet))
    (loss, gradients), (again, others) = results
    assert torch.equal(loss, again) and gradients.keys() == others.keys()
    assert all(torch.equal(gradient, others[name]) for name, gradient in gradients.items())


@pytest.mark.parametrize("scope", ["selective", "full"])
def test_the_inputs_of_recomputed_blocks_are_moved_and_nothing_within_them(scope):
    saved: list[Tensor] = []
    returned: list[int] = []

    def save(tensor: Tensor) -> int:
        saved.append(tensor)
        return len(saved) - 1

    def again(number: int) -> Tensor:
        returned.append(number)
        return saved[number]

    unet = network(scope, lambda: saved_tensors_hooks(save, again))
    seen: list[Tensor] = []
    kinds = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    for module in unet.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    loss = unet(*inputs()).square().mean()
    forward = len(saved)
    # Far fewer than what the layers have as inputs.
    assert 0 < forward < len(seen)
    loss.backward()
    assert len(saved) == forward and set(returned) == set(range(forward))


def test_the_layout_of_what_is_moved_is_kept():
    base = torch.randn(2, 6, 4, 4, requires_grad=True)
    views = {
        "channels last": base.to(memory_format=torch.channels_last),
        "permuted": base.permute(3, 1, 0, 2),
        "part": base[:, :3],
        "expanded": base[:1].expand(5, 6, 4, 4),
    }
    for name, view in views.items():
        with in_host_memory():
            saved = view.exp()
        kept = saved.grad_fn._saved_result
        assert torch.equal(kept, saved) and kept.stride() == saved.stride(), name
        with in_host_memory():
            squared = view * view
        kept = squared.grad_fn._saved_self
        assert torch.equal(kept, view) and kept.stride() == view.stride(), name
        copied = name in ("channels last", "permuted")
        assert (kept.untyped_storage().data_ptr() != view.untyped_storage().data_ptr()) == copied, name


def test_without_recomputation_nothing_is_moved():
    def refused() -> saved_tensors_hooks:
        raise AssertionError("called")

    loss, _ = loss_and_gradients(network("none", refused))
    assert torch.isfinite(loss)
