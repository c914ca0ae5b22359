"""All parts of a bundle, in one folder that appears whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP

from core.errors import AnimaticError
from core.files import atomic_folder, sha256
from models.architecture import Architecture, EncoderConfig
from models.bundle import Bundle, with_paths
from models.checkpoints.diffusers.autoencoder import write_autoencoder
from models.checkpoints.diffusers.image_encoder import EXTRACTOR, image_state, write_image_encoder
from models.checkpoints.diffusers.image_encoder import FOLDER as IMAGE_ENCODER
from models.checkpoints.diffusers.network import write_network
from models.checkpoints.diffusers.part import Part
from models.checkpoints.diffusers.readme import readme
from models.checkpoints.diffusers.scheduler import FOLDER as SCHEDULER
from models.checkpoints.diffusers.scheduler import scheduler_problem, write_scheduler
from models.checkpoints.diffusers.text_encoder import text_state, write_text_encoder
from models.encoders.clip import ClipEncoders


@dataclass(frozen=True)
class DiffusersExport:
    """What an export wrote.

    Attributes:
        parts: the folders, with what loads them.
        left_out: folder -> why it was not written.
        files: path below ``folder`` -> sha256, of every file but the README.
    """

    folder: Path
    parts: tuple[Part, ...]
    left_out: Mapping[str, str]
    files: Mapping[str, str]


def check_diffusers(bundle: Bundle, *, codec: str | None = None, encoders: str | None = None) -> None:
    """Raise AnimaticError for a bundle with parts that diffusers and transformers have no class for, or
    without autoencoder or encoders. Reads no weights.

    Args:
        codec, encoders: paths of autoencoder and encoders, in place of the architecture's.
    """
    architecture = with_paths(bundle.complete_architecture(), codec, encoders)
    if architecture.codec.kind != "vae":
        raise AnimaticError(
            f"bundle {bundle.folder} cannot be written as diffusers: its codec is {architecture.codec.kind} "
            "(model.codec.kind), and diffusers has a class for Stable Diffusion's autoencoder (vae) alone"
        )
    missing = bundle.missing_parts(codec, encoders)
    if missing:
        raise AnimaticError(
            f"bundle {bundle.folder} cannot be written as diffusers, it lacks {' and '.join(missing)}: give "
            "the paths with --codec and --encoders"
        )
    clip = _clip_without_weights(architecture.encoders)
    try:
        text_state(clip)
        if architecture.context is not None:
            image_state(clip)
    except AnimaticError as error:
        raise AnimaticError(f"bundle {bundle.folder} cannot be written as diffusers: {error}") from error


def export_diffusers(
    bundle: Bundle, folder: Path, *, codec: str | None = None, encoders: str | None = None
) -> DiffusersExport:
    """Write the parts of a bundle as folders of diffusers and transformers, in float32; atomically.

    One part is in memory at a time, CLIP's two towers counting as one. ``unet`` has our network, which no
    class reads, in its stored types.

    Args:
        codec, encoders: paths of autoencoder and encoders, in place of the architecture's.

    Raises:
        AnimaticError: as of :func:`check_diffusers`, before anything is written; or ``folder`` exists.
    """
    if folder.exists():
        raise AnimaticError(f"{folder} exists and is not overwritten: remove it or name another")
    check_diffusers(bundle, codec=codec, encoders=encoders)
    architecture = with_paths(bundle.complete_architecture(), codec, encoders)
    left_out: dict[str, str] = {}
    problem = scheduler_problem(architecture.diffusion)
    if problem is not None:
        left_out[SCHEDULER] = problem
    if architecture.context is None:
        left_out |= dict.fromkeys((IMAGE_ENCODER, EXTRACTOR), "the network reads no image")
    with atomic_folder(folder) as partial:
        parts = tuple(_write(bundle, architecture, partial, left_out))
        paths = sorted(path for path in partial.rglob("*") if path.is_file())
        files = {path.relative_to(partial).as_posix(): path for path in paths}
        digests = {name: sha256(path) for name, path in files.items()}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        text = readme(bundle.id, parts, left_out, digests, sizes)
        (partial / "README.md").write_text(text, encoding="utf-8")
    return DiffusersExport(folder, parts, left_out, digests)


def _write(
    bundle: Bundle, architecture: Architecture, folder: Path, left_out: Mapping[str, str]
) -> list[Part]:
    parts = write_autoencoder(architecture.codec, folder)
    parts += write_text_encoder(ClipEncoders(architecture.encoders, image=False).clip, folder)
    if IMAGE_ENCODER not in left_out:
        parts += write_image_encoder(ClipEncoders(architecture.encoders).clip, folder)
    if SCHEDULER not in left_out:
        parts += write_scheduler(architecture.diffusion, bundle.info.sampling_defaults, folder)
    return parts + write_network(bundle, folder)


def _clip_without_weights(config: EncoderConfig) -> CLIP:
    if config.kind == "random":
        return ClipEncoders(config).clip
    structure = open_clip.get_model_config(config.model)
    if structure is None or structure.get("custom_text"):
        raise AnimaticError(f"open_clip has no plain CLIP model {config.model} (model.encoders.model)")
    with torch.device("meta"):
        return CLIP(**structure)
