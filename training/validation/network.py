"""A second network, with the weights that a bundle of this moment would have."""

from collections.abc import Mapping

from torch import Tensor

from models.animator import Animator
from models.network.network import network_on_meta


def with_weights(animator: Animator, weights: Mapping[str, Tensor]) -> Animator:
    """An animator in evaluation mode: a float32 network of these weights, the frozen parts of ``animator``.

    On the CPU the weights are not copied. No random number is drawn, as building a network usually does.

    Args:
        weights: whole weights of the network, by name.
    """
    network = network_on_meta(animator.architecture, animator.network.adapter).eval()
    network.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    return animator.with_network(network.requires_grad_(False).to(animator.device))
