"""Internal parameter names and the public key names of the published checkpoints.

UNet parameters are ``model.diffusion_model.*`` in public, numbered by position; the query transformer's are
``image_proj_model.*``. Bundles and exports use public names; stages transfer weights by internal names,
which are the same in image and video networks.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from core.errors import AnimaticError
from models import public_keys
from models.architecture import Architecture
from models.network.network import Network, network_on_meta
from models.network.unet import UNet
from models.state_dict_diff import Shape, compare, listing, shapes_of

Value = TypeVar("Value")
_TEMPORAL = re.compile(r"(^|\.)(temporal|temporal_in|temopral_conv)\.")
_IMAGE_ATTENTION = re.compile(r"\.attn2\.(to_k_ip|to_v_ip|alpha)\b")


def is_temporal(name: str) -> bool:
    """Whether a UNet parameter belongs to a temporal convolution or temporal transformer."""
    return _TEMPORAL.search(name) is not None


def is_image_attention(name: str) -> bool:
    """Whether a UNet parameter belongs to the image branch of a cross-attention (keys, values, gate)."""
    return _IMAGE_ATTENTION.search(name) is not None


def unet_public_names(unet: UNet) -> dict[str, str]:
    """Internal parameter name -> public key, for every parameter of a UNet."""
    prefixes = sorted(unet.public_prefixes(), key=lambda pair: -len(pair[0]))
    names = {}
    for name, _ in unet.named_parameters():
        internal, public = next(pair for pair in prefixes if name.startswith(pair[0] + "."))
        names[name] = public_keys.UNET + public + name[len(internal) :]
    return names


def public_names(network: Network) -> dict[str, str]:
    """Internal name (``unet.…``, ``context.…``) -> public key, for every parameter of the network."""
    names = {f"unet.{name}": key for name, key in unet_public_names(network.unet).items()}
    if network.context is not None:
        for name, _ in network.context.named_parameters():
            names[f"context.{name}"] = public_keys.QUERY_TRANSFORMER + name
    return names


def public_shapes(architecture: Architecture) -> dict[str, Shape]:
    """Public key -> shape of every tensor of the network, found without allocating one."""
    network = network_on_meta(architecture)
    public = public_names(network)
    return {public[name]: tuple(value.shape) for name, value in network.named_parameters()}


def internal_state(architecture: Architecture, state: Mapping[str, Value]) -> dict[str, Value]:
    """Weights (or what is known of them) by public key of a network of this architecture, by internal name.

    Raises:
        AnimaticError: where keys do not belong to the architecture.
    """
    names = {key: name for name, key in public_names(network_on_meta(architecture)).items()}
    unknown = sorted(set(state) - set(names))
    if unknown:
        raise AnimaticError(f"weights that this architecture does not have: {listing(unknown)}")
    return {names[key]: value for key, value in state.items()}


def public_state(network: Network) -> dict[str, Tensor]:
    """Weights of the network by public key, detached and not copied."""
    names = public_names(network)
    return {names[name]: value.detach() for name, value in network.named_parameters()}


def load(network: Network, state: Mapping[str, Tensor]) -> None:
    """Copy weights by public key into the network.

    Raises:
        AnimaticError: listing tensors that are missing, unexpected or of another shape.
    """
    wanted = public_state(network)
    difference = compare(shapes_of(state), shapes_of(wanted))
    if difference:
        raise AnimaticError(f"the weights do not fit the architecture: {difference}")
    for key, parameter in wanted.items():
        parameter.copy_(state[key])
