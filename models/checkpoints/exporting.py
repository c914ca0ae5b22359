"""A bundle becomes a checkpoint in the published layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.errors import AnimaticError
from core.files import atomic_file
from models import public_keys
from models.architecture import Architecture
from models.bundle import Bundle
from models.checkpoints import layout
from models.checkpoints.layout import (
    in_image_encoder,
    in_text_encoder,
    part_of,
    published_layout,
)
from models.checkpoints.recognition import LEGACY
from models.checkpoints.schedule import schedule_buffers
from models.encoders.build import build_codec
from models.encoders.clip import ClipEncoders
from models.encoders.vae import to_ldm
from models.encoders.vae_codec import VaeCodec
from models.state_dict_diff import compare, shapes_of
from models.tensors import separate

# torch.save's own container of the published files.
CONTAINER = "state_dict"


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        origins: part of the checkpoint -> where its tensors came from.
    """

    path: Path
    tensors: int
    origins: Mapping[str, str]


def export_checkpoint(
    bundle: Bundle, path: Path, *, codec: str | None = None, encoders: str | None = None
) -> Exported:
    """Write a bundle as a DynamiCrafter checkpoint: the published keys, shapes and container.

    Parts that the bundle's file holds go out byte for byte. An autoencoder and encoders that it does not hold
    are read from where the architecture says; the schedule is computed.

    Args:
        path: ``.ckpt`` (a pickle with ``state_dict``) or ``.safetensors``.
        codec, encoders: where autoencoder and encoders lie, in place of the architecture's paths.

    Raises:
        AnimaticError: where the bundle is no DynamiCrafter network, a part is to be had nowhere, or ``path``
            exists or has another ending.
    """
    if path.suffix not in (".ckpt", ".safetensors"):
        raise AnimaticError(f"{path} has to end in .ckpt or .safetensors")
    if path.exists():
        raise AnimaticError(f"{path} exists and is not overwritten: remove it or name another with --out")
    architecture = _with_paths(bundle.info.architecture, codec, encoders)
    _check_exportable(bundle, architecture)
    wanted, stored = published_layout(architecture), _stored(bundle)
    _check_obtainable(bundle, architecture, set(wanted) - set(stored))
    found: dict[str, Tensor] = {key: value for part in stored.values() for key, value in part.items()}
    origins = dict.fromkeys(stored, "bundle")
    for part in wanted.keys() - stored.keys():
        tensors, origins[part] = _made(part, architecture)
        found |= tensors
    shapes = {key: shape for part in wanted.values() for key, shape in part.items()}
    problems = compare(shapes_of(found), shapes)
    if problems:
        raise AnimaticError(f"bundle {bundle.folder} does not make a published checkpoint: {problems}")
    state = {key: found[key] for key in shapes}
    _write({_exported_name(bundle, key): value for key, value in state.items()}, path)
    return Exported(path, len(state), origins)


def _with_paths(architecture: Architecture, codec: str | None, encoders: str | None) -> Architecture:
    changes: dict[str, Any] = {}
    if codec is not None:
        changes["codec"] = architecture.codec.model_copy(update={"path": codec})
    if encoders is not None:
        changes["encoders"] = architecture.encoders.model_copy(update={"path": encoders})
    return architecture.model_copy(update=changes)


def _check_exportable(bundle: Bundle, architecture: Architecture) -> None:
    unet = architecture.unet
    lacking = [
        name
        for name, there in (
            ("temporal layers", unet.temporal),
            ("image attention", unet.image_cross_attention),
            ("detail guidance", unet.detail_guidance),
            ("a frame-rate embedding", unet.fps_condition),
        )
        if not there
    ]
    if lacking:
        raise AnimaticError(
            f"bundle {bundle.folder} (stage {bundle.info.stage}) is no DynamiCrafter network, it lacks "
            f"{', '.join(lacking)}: export a bundle of stage 3"
        )


def _check_obtainable(bundle: Bundle, architecture: Architecture, absent: set[str]) -> None:
    towers = absent & {layout.TEXT_ENCODER, layout.IMAGE_ENCODER}
    problems = []
    if layout.AUTOENCODER in absent and architecture.codec.path is None:
        problems.append("the autoencoder (--codec FOLDER or FILE.safetensors)")
    if towers and architecture.encoders.kind == "open_clip" and architecture.encoders.path is None:
        problems.append(f"the {' and the '.join(sorted(towers))} (--encoders FILE)")
    if problems:
        raise AnimaticError(f"bundle {bundle.folder} does not hold {' nor '.join(problems)}: say where it is")


def _stored(bundle: Bundle) -> dict[str, dict[str, Tensor]]:
    """Part -> key -> tensor, mapped from the bundle's file."""
    parts: dict[str, dict[str, Tensor]] = {}
    with safe_open(bundle.weights, framework="pt") as file:
        for key in file.offset_keys():
            part = part_of(key)
            if part is None:
                raise AnimaticError(
                    f"bundle {bundle.folder} holds {key}, which is in no published checkpoint"
                )
            parts.setdefault(part, {})[key] = file.get_tensor(key)
    return parts


def _made(part: str, architecture: Architecture) -> tuple[dict[str, Tensor], str]:
    """A part that the bundle does not hold, and where it came from."""
    if part == layout.SCHEDULE:
        return schedule_buffers(architecture.diffusion), "computed"
    if part == layout.AUTOENCODER:
        codec = build_codec(architecture.codec)
        assert isinstance(codec, VaeCodec)  # published_layout has refused any other
        return to_ldm(codec.vae), str(architecture.codec.path)
    clip = ClipEncoders(architecture.encoders).clip.state_dict()
    prefix, stored = (
        (public_keys.TEXT_TOWER, in_text_encoder)
        if part == layout.TEXT_ENCODER
        else (public_keys.IMAGE_TOWER, in_image_encoder)
    )
    origin = architecture.encoders.path or f"drawn from seed {architecture.encoders.seed}"
    return {prefix + key: value for key, value in clip.items() if stored(key)}, origin


def _exported_name(bundle: Bundle, key: str) -> str:
    """The key in the file: as imported; of our own bundles, the 256 model's has its first, legacy name."""
    recorded: Mapping[str, str] | None = bundle.info.extra.get("legacy_names")
    if recorded is not None:
        return recorded.get(key, key)
    for legacy, name in LEGACY.items():
        if bundle.info.architecture.unet.learnable_gate and key.startswith(name):
            return legacy + key.removeprefix(name)
    return key


def _write(state: dict[str, Tensor], path: Path) -> None:
    """Write the file atomically; tensors mapped from a file are not copied in memory."""
    tensors = separate(state)
    with atomic_file(path) as partial:
        if path.suffix == ".ckpt":
            torch.save({CONTAINER: tensors}, partial)
        else:
            save_file(tensors, partial)
        partial.chmod(0o644)
