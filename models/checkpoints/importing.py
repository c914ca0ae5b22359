"""A published checkpoint becomes a bundle."""

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import write_bundle
from models.checkpoints.containers import Source, open_source
from models.checkpoints.layout import part_of
from models.checkpoints.recognition import Recognised, recognise
from models.checkpoints.variants import VARIANTS, Variant


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        parts: part of the checkpoint -> number of tensors taken.
        left_out: what was not taken -> number of tensors.
        absent: parts of the published layout that the file does not hold.
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
    parent: Path = Path(),
    variants: Mapping[str, Variant] = VARIANTS,
) -> Imported:
    """Write the bundle of a published checkpoint, tensors byte for byte and under their public names.

    Args:
        folder: the bundle; ``parent``/VARIANT if not given.
        variant: name of what the file is; found out if not given.
        incomplete: accept a DynamiCrafter file without autoencoder, encoders or schedule.

    Raises:
        AnimaticError: where the file cannot be read or is not exactly a published layout, or ``folder``
            exists.
    """
    with open_source(path) as source:
        found = recognise(source, variants, variant, incomplete=incomplete)
        folder = folder or parent / found.variant.name
        if folder.exists():
            raise AnimaticError(f"{folder} exists: bundles are never overwritten; name another with --out")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            weights = Path(scratch) / "weights.safetensors"
            source.write(weights, found.names)
            bundle = _write(folder, weights, source, found)
    return Imported(
        folder,
        bundle,
        found.variant.name,
        source.container,
        dict(Counter(str(part_of(key)) for key in found.names)),
        found.left_out,
        found.absent,
        found.remarks,
    )


def _write(folder: Path, weights: Path, source: Source, found: Recognised) -> str:
    digest = sha256(source.path)
    return write_bundle(
        folder,
        weights,
        architecture=found.variant.architecture,
        stage=found.variant.stage,
        preset=found.variant.preset,
        config_hash="",
        dataset_digest=None,
        parent=None,
        model_card=_card(source, found, digest),
        sampling=found.variant.sampling,
        extra={
            "variant": found.variant.name,
            "container": source.container,
            "source": {"name": source.path.name, "format": source.format, "sha256": digest},
            "legacy_names": {key: name for key, name in found.names.items() if key != name},
            "left_out": dict(found.left_out),
        },
    )


def _card(source: Source, found: Recognised, digest: str) -> str:
    counts = Counter(str(part_of(key)) for key in found.names)
    sizes: Counter[str] = Counter()
    for key, stored in found.names.items():
        sizes[str(part_of(key))] += math.prod(source.shapes[stored])
    types = ", ".join(sorted({source.types[stored] for stored in found.names.values()}))
    parts = "\n".join(f"| {part} | {count:,} | {sizes[part]:,} |" for part, count in counts.items())
    model = found.variant.architecture
    return (
        f"# {found.variant.title}\n\n"
        f"Imported from `{source.path.name}` (sha256 {digest}) with `animatic import-checkpoint`. The "
        f"tensors are those of the file ({types}), byte for byte. Its licence applies.\n\n"
        f"Clip: {model.frames} frames of {model.height}x{model.width}. Predicts "
        f"{'noise' if model.diffusion.parameterization == 'eps' else 'v'}.\n\n"
        f"| part | tensors | values |\n|---|---|---|\n{parts}\n"
    )
