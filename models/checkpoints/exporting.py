"""A bundle becomes a checkpoint in the published layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.errors import AnimaticError
from core.files import atomic_file
from models import public_keys
from models.architecture import Architecture
from models.bundle import Bundle, with_paths
from models.checkpoints import layout
from models.checkpoints.layout import (
    in_image_encoder,
    in_text_encoder,
    part_of,
    published_layout,
)
from models.checkpoints.public_names import LEGACY
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
class ExportResult:
    """What an export wrote.

    Attributes:
        origins: part of the checkpoint -> where its tensors came from.
    """

    path: Path
    tensors: int
    origins: Mapping[str, str]


def export_checkpoint(
    bundle: Bundle, path: Path, *, codec: str | None = None, encoders: str | None = None
) -> ExportResult:
    """Write a bundle as a DynamiCrafter checkpoint: the published keys, shapes and container.

    Parts in the bundle's file are exported byte for byte. An autoencoder and encoders that it lacks are read
    from the architecture's paths; the schedule is computed.

    Args:
        path: ``.ckpt`` (a pickle with ``state_dict``) or ``.safetensors``.
        codec, encoders: paths of autoencoder and encoders, in place of the architecture's.

    Raises:
        AnimaticError: where the bundle is no DynamiCrafter network, a part is in neither place, or ``path``
            exists or has another suffix.
    """
    if path.suffix not in (".ckpt", ".safetensors"):
        raise AnimaticError(f"{path} must end in .ckpt or .safetensors")
    if path.exists():
        raise AnimaticError(f"{path} exists and is not overwritten: remove it or name another with --out")
    architecture = with_paths(bundle.info.architecture, codec, encoders)
    _check_exportable(bundle, architecture)
    found, origins = _collect(bundle, architecture)
    shapes = {key: shape for part in published_layout(architecture).values() for key, shape in part.items()}
    diff = compare(shapes_of(found), shapes)
    if diff:
        raise AnimaticError(f"bundle {bundle.folder} does not fit the published layout: {diff}")
    _write({_exported_name(bundle, key): found[key] for key in shapes}, path)
    return ExportResult(path, len(shapes), origins)


def check_exportable(bundle: Bundle, *, codec: str | None = None, encoders: str | None = None) -> None:
    """Raise AnimaticError for a bundle that :func:`export_checkpoint` refuses. Reads no weights."""
    architecture = with_paths(bundle.info.architecture, codec, encoders)
    _check_exportable(bundle, architecture)
    try:
        layout_of_parts = published_layout(architecture)
    except AnimaticError as error:
        raise AnimaticError(f"bundle {bundle.folder} cannot be written as dynamicrafter: {error}") from error
    _check_obtainable(bundle, architecture, layout_of_parts.keys() - _stored(bundle).keys())


def _collect(bundle: Bundle, architecture: Architecture) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of every part by public key, and the origin of each part."""
    stored = _stored(bundle)
    absent = published_layout(architecture).keys() - stored.keys()
    _check_obtainable(bundle, architecture, absent)
    tensors = {key: value for part in stored.values() for key, value in part.items()}
    origins = dict.fromkeys(stored, "bundle")
    for part in absent:
        completed, origins[part] = _completed(part, architecture)
        tensors |= completed
    return tensors, origins


def _check_exportable(bundle: Bundle, architecture: Architecture) -> None:
    unet = architecture.unet
    lacking = [
        name
        for name, present in (
            ("temporal layers", unet.temporal),
            ("image attention", unet.image_cross_attention),
            ("detail guidance", unet.detail_guidance),
            ("a frame-rate embedding", unet.fps_condition),
            ("a query transformer that reads all image tokens", _reads_all_tokens(architecture)),
        )
        if not present
    ]
    if lacking:
        raise AnimaticError(
            f"bundle {bundle.folder} (stage {bundle.info.stage}) is no DynamiCrafter network, it lacks "
            f"{', '.join(lacking)}: export a bundle of stage 3"
        )
    if unet.guidance_embedding:
        raise AnimaticError(
            f"bundle {bundle.folder} is distilled: the published code has no guidance embedding; export its "
            "teacher, or use --as diffusers"
        )
    if unet.motion_condition:
        raise AnimaticError(
            f"bundle {bundle.folder} has a motion condition, which the published code does not know: use "
            "--as diffusers, which keeps its tensors under public names"
        )


def _reads_all_tokens(architecture: Architecture) -> bool:
    # The published code passes it all of them.
    return architecture.context is None or architecture.context.tokens == "all"


def _check_obtainable(bundle: Bundle, architecture: Architecture, absent: set[str]) -> None:
    towers = absent & {layout.TEXT_ENCODER, layout.IMAGE_ENCODER}
    missing = []
    if layout.AUTOENCODER in absent and architecture.codec.path is None:
        missing.append("the autoencoder (--codec FOLDER or FILE.safetensors)")
    if towers and architecture.encoders.kind == "open_clip" and architecture.encoders.path is None:
        missing.append(f"the {' and the '.join(sorted(towers))} (--encoders FILE)")
    if missing:
        raise AnimaticError(f"bundle {bundle.folder} lacks {' and '.join(missing)}: give its path")


def _stored(bundle: Bundle) -> dict[str, dict[str, Tensor]]:
    """Part -> key -> tensor, mapped from the bundle's file; those that an adapter updates are computed."""
    with safe_open(bundle.frozen_parts, framework="pt") as file:
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.offset_keys()}
    if bundle.info.adapter is not None:
        tensors |= bundle.state()
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part = part_of(key)
        if part is None:
            raise AnimaticError(f"bundle {bundle.folder} contains {key}, which is in no published checkpoint")
        parts.setdefault(part, {})[key] = value
    return parts


def _completed(part: str, architecture: Architecture) -> tuple[dict[str, Tensor], str]:
    """A part that the bundle lacks, and its origin."""
    if part == layout.SCHEDULE:
        return schedule_buffers(architecture.diffusion), "computed"
    if part == layout.AUTOENCODER:
        codec = build_codec(architecture.codec)
        assert isinstance(codec, VaeCodec)  # published_layout refuses any other
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
    """The key in the file: as imported; for our own bundles of the 256 model, the first published name."""
    recorded = bundle.info.extra.get("legacy_names")
    if recorded is not None:
        # Other names than legacy ones, of files with other prefixes, are not published.
        return recorded[key] if recorded.get(key, "").startswith(tuple(LEGACY)) else key
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
