"""A published checkpoint becomes a bundle."""

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import BundleOrigin, card_head, write_bundle
from models.checkpoints.checkpoint_file import CheckpointFile, open_checkpoint
from models.checkpoints.layout import part_of
from models.checkpoints.matching import VariantMatch, match_variant
from models.checkpoints.variants import VARIANTS, Variant


@dataclass(frozen=True)
class ImportResult:
    """The bundle of an import, and what was imported.

    Attributes:
        parts: part of the checkpoint -> number of imported tensors.
        left_out: what was not imported -> number of tensors.
        absent: parts of the published layout that the file does not contain.
        remarks: for the user.
    """

    folder: Path
    id: str
    variant: str
    container: str
    parts: Mapping[str, int]
    left_out: Mapping[str, int]
    absent: tuple[str, ...]
    remarks: tuple[str, ...]


def import_checkpoint(
    path: Path,
    folder: Path | None = None,
    variant: str | None = None,
    *,
    incomplete: bool = False,
    averaged: bool = False,
    parent: Path = Path(),
    variants: Mapping[str, Variant] = VARIANTS,
) -> ImportResult:
    """Write the bundle of a published checkpoint, tensors byte for byte and under their public names.

    Args:
        folder: the bundle; ``parent``/VARIANT if not given.
        variant: the file's variant; detected if not given.
        incomplete: accept a DynamiCrafter file without autoencoder, encoders or schedule.
        averaged: take the averaged weights where the file has both.

    Raises:
        AnimaticError: where the file cannot be read or is not exactly a published layout, or ``folder``
            exists.
    """
    with open_checkpoint(path) as file:
        match = match_variant(file, variants, variant, incomplete=incomplete, averaged=averaged)
        folder = folder or parent / match.variant.name
        if folder.exists():
            raise AnimaticError(f"{folder} exists: bundles are never overwritten; name another with --out")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            weights = Path(scratch) / "weights.safetensors"
            file.write(weights, match.names)
            bundle = _write(folder, weights, file, match)
    return ImportResult(
        folder,
        bundle,
        match.variant.name,
        file.container,
        dict(Counter(str(part_of(key)) for key in match.names)),
        match.left_out,
        match.absent,
        match.remarks,
    )


def _write(folder: Path, weights: Path, file: CheckpointFile, match: VariantMatch) -> str:
    digest = sha256(file.path)
    return write_bundle(
        folder,
        weights,
        BundleOrigin(
            architecture=match.variant.architecture,
            stage=match.variant.stage,
            preset=match.variant.preset,
            config_hash="",
            dataset_digest=None,
            parent=None,
            sampling=match.variant.sampling,
            extra={
                "variant": match.variant.name,
                "container": file.container,
                "source": {"name": file.path.name, "format": file.format, "sha256": digest},
                "legacy_names": {key: name for key, name in match.names.items() if key != name},
                "left_out": dict(match.left_out),
            },
        ),
        model_card=_card(file, match, digest),
    )


def _card(file: CheckpointFile, match: VariantMatch, digest: str) -> str:
    counts = Counter(str(part_of(key)) for key in match.names)
    sizes: Counter[str] = Counter()
    for key, stored in match.names.items():
        sizes[str(part_of(key))] += math.prod(file.shapes[stored])
    types = ", ".join(sorted({file.types[stored] for stored in match.names.values()}))
    parts = "\n".join(f"| {part} | {count:,} | {sizes[part]:,} |" for part, count in counts.items())
    model = match.variant.architecture
    return card_head(model, match.variant.preset) + (
        f"# {match.variant.title}\n\n"
        f"Imported from `{file.path.name}` (sha256 {digest}) with `animatic import-checkpoint`. The "
        f"tensors are those of the file ({types}), byte for byte. Its licence applies.\n\n"
        f"Clip: {model.frames} frames of {model.height}x{model.width}. Predicts "
        f"{'noise' if model.diffusion.parameterization == 'eps' else 'v'}.\n\n"
        f"| part | tensors | values |\n|---|---|---|\n{parts}\n"
    )
