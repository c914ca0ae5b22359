"""Internal parameter names and the public key names of the published checkpoints.

UNet parameters are ``model.diffusion_model.*`` in public, numbered by position; the query transformer's are
``image_proj_model.*``. Bundles and exports use public names; stages hand weights over by internal names,
which are the same in image and video networks.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from models.architecture import Architecture
from models.context import QueryTransformer
from models.errors import AnimaticError
from models.unet import UNet

if TYPE_CHECKING:
    from models.animator import Animator

UNET_PREFIX = "model.diffusion_model."
CONTEXT_PREFIX = "image_proj_model."
_LISTED = 8
Value = TypeVar("Value")


def unet_public_names(unet: UNet) -> dict[str, str]:
    """Internal parameter name -> public key, for every parameter of a UNet."""
    prefixes = sorted(unet.public_prefixes(), key=lambda pair: -len(pair[0]))
    names = {}
    for name, _ in unet.named_parameters():
        internal, public = next(pair for pair in prefixes if name.startswith(pair[0] + "."))
        names[name] = UNET_PREFIX + public + name[len(internal) :]
    return names


def public_names(animator: "Animator") -> dict[str, str]:
    """Names as in ``Animator.trainable_candidates`` -> public keys."""
    names = {f"unet.{name}": key for name, key in unet_public_names(animator.unet).items()}
    if animator.context is not None:
        for name, _ in animator.context.named_parameters():
            names[f"context.{name}"] = CONTEXT_PREFIX + name
    return names


def internal_state(architecture: Architecture, state: Mapping[str, Value]) -> dict[str, Value]:
    """Weights (or what is known of them) by public key of a network of this architecture, by internal name.

    Raises:
        AnimaticError: where keys do not belong to the architecture.
    """
    with torch.device("meta"):
        unet = UNet(architecture.unet)
        context = QueryTransformer(architecture.context) if architecture.context else None
    names = {key: f"unet.{name}" for name, key in unet_public_names(unet).items()}
    if context is not None:
        names |= {CONTEXT_PREFIX + name: f"context.{name}" for name, _ in context.named_parameters()}
    unknown = sorted(set(state) - set(names))
    if unknown:
        raise AnimaticError(f"weights that this architecture does not have: {_listing(unknown)}")
    return {names[key]: value for key, value in state.items()}


def load(animator: "Animator", state: dict[str, Tensor], *, strict: bool) -> None:
    """Copy public-name weights into ``animator``; see ``Animator.load_network_state``."""
    parameters = animator.trainable_candidates()
    wanted = {key: parameters[name] for name, key in public_names(animator).items()}
    problems = []
    missing, unexpected = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing and strict:
        problems.append(f"missing {_listing(missing)}")
    if unexpected and strict:
        problems.append(f"unexpected {_listing(unexpected)}")
    shared = set(wanted) & set(state)
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(shared)
        if state[key].shape != wanted[key].shape
    ]
    if shapes:
        problems.append(f"of another shape: {_listing(shapes)}")
    if problems:
        raise AnimaticError("the weights do not fit the architecture: " + "; ".join(problems))
    with torch.no_grad():
        for key in shared:
            wanted[key].copy_(state[key])


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
