"""Which frozen parts of an animator are on the network's device in training.

Codec and text tower, 1.8 GB at full size, are needed there only for batches without stored latents or text
features, and for samples. They are in the host's memory until they are needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from models.animator import Animator

Part = Literal["codec", "text tower"]
_Owner = dict[str, Tensor | None]


def place_for_training(animator: Animator, device: torch.device | str) -> None:
    """Move the network, its noise schedule and the image tower to a device; the other parts stay."""
    animator.network.to(device)
    animator.diffusion.to(device)
    visual = getattr(animator.encoders.clip, "visual", None)
    if isinstance(visual, nn.Module):
        visual.to(device)


def move(animator: Animator, part: Part, device: torch.device | str) -> None:
    """Move a part to a device, to stay there; nothing is copied where it is there already."""
    target = torch.device(device)
    for owner, name, value in list(_tensors(animator, part)):
        if value.device != target:
            owner[name] = _moved(value, target)


@contextmanager
def on_device(animator: Animator, *parts: Part) -> Iterator[None]:
    """Inside, these parts (all, if none is named) are on the network's device; afterwards where they were."""
    before = [each for part in parts or get_args(Part) for each in _tensors(animator, part)]
    try:
        for owner, name, value in before:
            owner[name] = _moved(value, animator.device)
        yield
    finally:
        # The very tensors: nothing is copied back.
        for owner, name, value in before:
            owner[name] = value


def weights_of(animator: Animator, part: Part) -> int:
    """Number of weights of a part, without its buffers."""
    return sum(value.numel() for *_, value in _tensors(animator, part) if isinstance(value, nn.Parameter))


def _tensors(animator: Animator, part: Part) -> Iterator[tuple[_Owner, str, Tensor]]:
    """The tensors of a part, each with the dictionary of its module that it is in, and its name there."""
    for module in _modules(animator, part):
        for owner in cast(tuple[_Owner, _Owner], (module._parameters, module._buffers)):
            yield from ((owner, name, value) for name, value in owner.items() if value is not None)


def _modules(animator: Animator, part: Part) -> Iterator[nn.Module]:
    if part == "codec":
        yield from animator.codec.modules()
        return
    # open_clip's text tower is no module of its own: what is not of the image tower.
    clip = animator.encoders.clip
    visual = getattr(clip, "visual", None)
    of_image = set(visual.modules()) if isinstance(visual, nn.Module) else set()
    yield from (module for module in clip.modules() if module not in of_image)


def _moved(value: Tensor, device: torch.device) -> Tensor:
    moved = value.detach().to(device)
    return nn.Parameter(moved, requires_grad=False) if isinstance(value, nn.Parameter) else moved
