"""Low-rank adapters of a network's layers (LoRA, arXiv:2106.09685).

An adapted layer keeps its class, its parameters and their names. It gets two children without biases,
``lora_A`` of ``rank`` outputs, with the layer's own kernel, and ``lora_B``. Its output becomes
y + alpha / rank · B(A(x)). Their names and shapes are those of peft's files.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.network.adapter_settings import AdapterSettings, Target
from models.public_keys import ADAPTER_A, ADAPTER_B, is_adapter_key

_WEIGHT = ".weight"
_CONVOLUTIONS: dict[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}

# Names of layers, in the UNet and in the query transformer.
_ATTENTION = re.compile(
    r"^unet\..*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)$|^context\.layers\.\d+\.0\.(to_q|to_kv|to_out)$"
)
_FEED_FORWARD = re.compile(r"^unet\..*\.ff\.net\.(0\.proj|2)$|^context\.layers\.\d+\.1\.(1|3)$")
_IMAGE_ATTENTION = re.compile(r"^unet\..*\.attn2\.(to_k_ip|to_v_ip)$")


@dataclass(frozen=True)
class Adapter:
    """The adapter of a network.

    Attributes:
        layers: names of the adapted layers, in the order of the network.
    """

    settings: AdapterSettings
    layers: tuple[str, ...]


def layers_of_targets(network: nn.Module, targets: Collection[Target]) -> list[str]:
    """Names of a network's layers that belong to one of the targets, in its order."""
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            target = _target(name, module)
            if target is not None and target in targets:
                found.append(name)
    return found


def add_adapter(network: nn.Module, adapter: Adapter) -> None:
    """Add a new adapter to the network, in place; its output does not change, since every B is zero.

    A is drawn as torch draws a layer's weight. The other parameters keep their names and values.
    """
    layers = dict(network.named_modules())
    for name in adapter.layers:
        _adapt(layers[name], adapter.settings)


@contextmanager
def without_adapter(network: nn.Module, adapter: Adapter) -> Iterator[None]:
    """In this block, adapted layers compute as those of the base do."""
    layers = [network.get_submodule(name) for name in adapter.layers]
    _switch(layers, on=False)
    try:
        yield
    finally:
        _switch(layers, on=True)


def composed(
    base: Mapping[str, Tensor], adapter: Mapping[str, Tensor], settings: AdapterSettings
) -> dict[str, Tensor]:
    """The weights of a base with those of an adapter, by the same names or keys.

    W + alpha / rank · B A in float32, where the adapter has an A and a B; whole tensors of the adapter
    replace the base's; all others are the base's own tensors, in their stored types.

    Raises KeyError where the adapter updates a weight that neither of them has.
    """
    whole = {name: value for name, value in adapter.items() if not is_adapter_key(name)}
    weights = {**base, **whole}
    for name in [name for name in adapter if name.endswith(ADAPTER_A)]:
        layer = name.removesuffix(ADAPTER_A)
        weight = weights[layer + _WEIGHT].float()
        update = adapter[layer + ADAPTER_B].float().flatten(1) @ adapter[name].float().flatten(1)
        weights[layer + _WEIGHT] = weight + settings.scale * update.view_as(weight)
    return weights


def _target(name: str, module: nn.Module) -> Target | None:
    if not isinstance(module, nn.Linear):
        return "convolutions"
    patterns: dict[Target, re.Pattern[str]] = {
        "attention": _ATTENTION,
        "feed_forward": _FEED_FORWARD,
        "image_attention": _IMAGE_ATTENTION,
    }
    return next((target for target, pattern in patterns.items() if pattern.search(name)), None)


def _switch(layers: Collection[nn.Module], *, on: bool) -> None:
    for layer in layers:
        layer.adapter_is_on = on  # type: ignore[assignment]


def _adapt(layer: nn.Module, settings: AdapterSettings) -> None:
    first, second = _matrices(layer, settings.rank)
    nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
    nn.init.zeros_(second.weight)
    layer.add_module("lora_A", first)
    layer.add_module("lora_B", second)
    _switch([layer], on=True)
    dropout, scale = settings.dropout, settings.scale

    def add_update(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not module.adapter_is_on:
            return None
        x = F.dropout(inputs[0], dropout, module.training) if dropout else inputs[0]
        return output.add(module.lora_B(module.lora_A(x)), alpha=scale)

    layer.register_forward_hook(add_update)


def _matrices(layer: Any, rank: int) -> tuple[Any, Any]:
    """A and B for a layer, on the device of torch's context, in float32."""
    if isinstance(layer, nn.Linear):
        return (
            nn.Linear(layer.in_features, rank, bias=False),
            nn.Linear(rank, layer.out_features, bias=False),
        )
    convolution = _CONVOLUTIONS[layer.weight.dim()]
    first = convolution(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, bias=False)
    return first, convolution(rank, layer.out_channels, 1, bias=False)
