"""Low-rank adapters: nothing changes at first, little is trained, and the sum is exact."""

import pytest
import torch
from torch.utils._pytree import tree_map_only

from models.architecture import Architecture
from models.network.adapter import Adapter, composed, layers_of_targets
from models.network.adapter_settings import TARGETS, AdapterSettings
from models.network.network import Network, network_on_meta
from models.network.parameter_names import public_names
from models.public_keys import is_adapter_key
from tests.support.small_animator import small_architecture

ALL = AdapterSettings(rank=3, alpha=6.0, targets=TARGETS)


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    small = small_architecture()
    unet = small.unet.model_copy(update={"detail_guidance": True})
    return small.model_copy(update={"unet": unet})


def network_of(architecture: Architecture) -> Network:
    """With drawn weights in place of the zeros that an untrained network ends in."""
    torch.manual_seed(0)
    network = Network(architecture).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def adapted(architecture: Architecture, settings: AdapterSettings, *, drawn: bool = True) -> Network:
    network = network_of(architecture)
    network.add_adapter(Adapter(settings, tuple(layers_of_targets(network, settings.targets))))
    if drawn:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if is_adapter_key(name):
                    parameter.normal_(0, 0.1)
    return network


def predict(network: Network) -> torch.Tensor:
    config = network.unet.config
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    assert network.context is not None
    image = network.context(draw(2, 5, 24), 3)
    latents = draw(2, config.in_channels, 3, 4, 4)
    return network.unet(latents, torch.tensor([3, 900]), draw(2, 7, 32), image, torch.tensor([8.0, 24.0]))


def test_a_new_adapter_changes_no_bit_and_no_name(architecture):
    plain, network = network_of(architecture), adapted(architecture, ALL, drawn=False)
    with torch.no_grad():
        assert torch.equal(predict(plain), predict(network))
    before, after = dict(plain.named_parameters()), dict(network.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    added = set(after) - set(before)
    assert added and all(is_adapter_key(name) for name in added)
    # Every kind of weight of two dimensions or more that a target covers has its two matrices.
    assert len(added) == 2 * len(layers_of_targets(plain, TARGETS))


def test_the_composed_weights_compute_what_the_adapted_network_computes(architecture):
    network, plain = adapted(architecture, ALL), network_of(architecture)
    state = {name: value.detach() for name, value in network.named_parameters()}
    adapter = {name: value for name, value in state.items() if is_adapter_key(name)}
    base = {name: value for name, value in state.items() if not is_adapter_key(name)}
    weights = composed(base, adapter, ALL)
    assert weights.keys() == base.keys()
    plain.load_state_dict(weights)
    with torch.no_grad():
        wanted, found, unchanged = predict(network), predict(plain), predict(network_of(architecture))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert (unchanged - wanted).abs().max() > 0.1


def test_a_composed_weight_is_the_formula_in_float32():
    weight, a, b = torch.randn(6, 4).bfloat16(), torch.randn(2, 4), torch.randn(6, 2)
    settings = AdapterSettings(rank=2, alpha=3.0)
    base = {"x.weight": weight, "x.bias": torch.ones(6).bfloat16(), "y": torch.zeros(3)}
    update = {"x.lora_A.weight": a, "x.lora_B.weight": b, "y": torch.ones(3)}
    found = composed(base, update, settings)
    assert torch.equal(found["x.weight"], weight.float() + 1.5 * (b @ a))
    assert found["x.bias"] is base["x.bias"] and found["y"] is update["y"]


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_adapts_its_own_layers(architecture, target):
    found = layers_of_targets(network_on_meta(architecture), [target])
    others = layers_of_targets(network_on_meta(architecture), [other for other in TARGETS if other != target])
    assert found and not set(found) & set(others)
    ending = {
        "attention": ("to_q", "to_k", "to_v", "to_out.0", "to_kv", "to_out"),
        "feed_forward": (".0.proj", ".2", ".1.1", ".1.3"),
        "image_attention": ("to_k_ip", "to_v_ip"),
    }.get(target)
    assert ending is None or all(name.endswith(ending) for name in found)


def test_public_keys_are_those_of_peft_on_the_published_network(architecture):
    network = adapted(architecture, AdapterSettings(targets=("image_attention",)))
    keys = {key for key in public_names(network).values() if is_adapter_key(key)}
    assert "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k_ip.lora_A.weight" in keys
    assert all(key.startswith("model.diffusion_model.") for key in keys)


def saved_bytes(network: Network) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = predict(network)
        total = sum(kept.values())
        tree_map_only(torch.Tensor, lambda tensor: tensor.sum().backward(), output)
    return total


def test_only_the_matrices_have_gradients_and_little_more_is_kept_for_them(architecture):
    small = AdapterSettings(rank=2)
    whole, network = network_of(architecture), adapted(architecture, small)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_adapter_key(name))
    full, less = saved_bytes(whole), saved_bytes(network)
    with_gradient = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    assert with_gradient == [name for name, _ in network.named_parameters() if is_adapter_key(name)]
    # Gradients, moments and masters are of the matrices alone; activations grow by the products with A.
    states = [4 * sum(p.grad.numel() for p in n.parameters() if p.grad is not None) for n in (whole, network)]
    assert states[1] < states[0] / 5
    assert less + states[1] * 4 < full + states[0] * 4
