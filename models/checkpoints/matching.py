"""Which published checkpoint a file is, and which of its tensors a bundle gets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import AnimaticError
from models.checkpoints import layout
from models.checkpoints.checkpoint_file import CheckpointFile
from models.checkpoints.layout import Layout, part_of
from models.checkpoints.public_names import AVERAGED, public_names
from models.checkpoints.variants import Variant
from models.state_dict_diff import StateDictDiff, compare

# Not weights of the network in use: a second, averaged copy of them, and a training loss.
LEFT_OUT = (AVERAGED, "first_stage_model.loss.", "logvar")
_FLOATS = {"F16", "BF16", "F32", "F64"}
_SCALE_TOLERANCE = 0.01


@dataclass(frozen=True)
class VariantMatch:
    """A file's variant, and what to import from the file.

    Attributes:
        names: public key -> key in the file, for every tensor that the bundle gets.
        left_out: what is not imported -> number of tensors.
        absent: parts of the published layout that the file does not contain.
        remarks: for the user.
    """

    variant: Variant
    names: Mapping[str, str]
    left_out: Mapping[str, int]
    absent: tuple[str, ...]
    remarks: tuple[str, ...]


def match_variant(
    file: CheckpointFile,
    variants: Mapping[str, Variant],
    wanted: str | None = None,
    *,
    incomplete: bool = False,
    averaged: bool = False,
) -> VariantMatch:
    """Match a file with a variant, strictly.

    Args:
        variants: the candidates by name.
        wanted: the variant's name; None detects it.
        incomplete: accept a file that lacks whole parts (autoencoder, encoders, schedule).
        averaged: take the averaged weights where the file has both.

    Raises:
        AnimaticError: listing what is missing, unexpected or wrongly shaped, and the most similar variant; or
            asking for the name where several variants fit.
    """
    if wanted is not None and wanted not in variants:
        raise AnimaticError(f"no variant is called {wanted!r}: choose one of {', '.join(variants)}")
    named = public_names(file, _network_keys(variants), averaged=averaged)
    stored = named.stored
    kept = {key: name for key, name in stored.items() if not key.startswith(LEFT_OUT)}
    shapes = {key: file.shapes[name] for key, name in kept.items()}
    diffs = {name: _diff(shapes, variant, incomplete) for name, variant in variants.items()}
    if wanted is None:
        variant, remarks = _detect(file, variants, diffs, shapes)
    else:
        _check_is(wanted, file, variants, diffs, shapes)
        variant, remarks = variants[wanted], ()
    parts = _imported_parts(shapes, variant)
    names = {key: name for key, name in kept.items() if part_of(key) in parts}
    _check_types(file, names)
    left_out = Counter(_group(key) for key in stored if key not in names)
    present = {part_of(key) for key in names}
    absent = tuple(part for part in variant.layout() if part not in present)
    return VariantMatch(variant, names, dict(left_out), absent, named.remarks + remarks)


def _network_keys(variants: Mapping[str, Variant]) -> set[str]:
    return {key for variant in variants.values() for key in variant.layout()[layout.NETWORK]}


def _diff(shapes: Layout, variant: Variant, incomplete: bool) -> StateDictDiff:
    """How the file differs from what the variant's must contain."""
    required = variant.required()
    if variant.complete:
        if incomplete:
            present = {part_of(key) for key in shapes} | {layout.NETWORK}
            required = {key: shape for key, shape in required.items() if part_of(key) in present}
        return compare(shapes, required)
    strict = {key: shape for key, shape in shapes.items() if part_of(key) in (layout.NETWORK, None)}
    return compare(strict, required)


def _check_is(
    wanted: str,
    file: CheckpointFile,
    variants: Mapping[str, Variant],
    diffs: Mapping[str, StateDictDiff],
    shapes: Layout,
) -> None:
    """Raise AnimaticError where the file is not the ``wanted`` variant."""
    if diffs[wanted]:
        nearest = min(
            diffs, key=lambda name: (_distance(diffs[name]), not _scale_agrees(file, variants[name]))
        )
        closer = _distance(diffs[nearest]) < _distance(diffs[wanted])
        hint = f"; it looks like {nearest}" if closer else _incomplete_hint(shapes, variants[wanted])
        raise AnimaticError(f"{file.path} is not {wanted}: {diffs[wanted]}{hint}")
    if not _scale_agrees(file, variants[wanted]):
        others = [name for name in _fitting(diffs) if _scale_agrees(file, variants[name])]
        hint = f"; it looks like {others[0]}" if others else ""
        raise AnimaticError(
            f"{file.path} is not {wanted}: its scale_arr ends at {file.scale:.3g}, not at "
            f"{variants[wanted].architecture.diffusion.base_scale}{hint}"
        )


def _detect(
    file: CheckpointFile,
    variants: Mapping[str, Variant],
    diffs: Mapping[str, StateDictDiff],
    shapes: Layout,
) -> tuple[Variant, tuple[str, ...]]:
    """The one variant that fits, and remarks on others that have the same tensors."""
    fitting = _fitting(diffs)
    if not fitting:
        nearest = min(diffs, key=lambda name: _distance(diffs[name]))
        raise AnimaticError(
            f"{file.path} is none of the published checkpoints; nearest is {nearest}: {diffs[nearest]}"
            f"{_incomplete_hint(shapes, variants[nearest])}"
        )
    if len(fitting) == 1:
        return variants[fitting[0]], ()
    scaled = [name for name in fitting if file.scale is not None and _scale_agrees(file, variants[name])]
    if not scaled:
        reason = "is missing" if file.scale is None else f"ends at {file.scale:.3g}"
        raise AnimaticError(
            f"{file.path} fits {', '.join(fitting)}, which have the same tensors and differ in scale_arr, "
            f"which {reason}: name the right one with --as"
        )
    return variants[scaled[0]], tuple(
        f"{name} has the same tensors: give --as {name} if the file is that one" for name in scaled[1:]
    )


def _distance(diff: StateDictDiff) -> tuple[int, int]:
    """How far a file is from a variant: by its network first, since not every variant has other parts."""
    names = [*diff.missing, *diff.unexpected, *diff.reshaped]
    return sum(part_of(name) in (layout.NETWORK, None) for name in names), len(names)


def _incomplete_hint(shapes: Layout, variant: Variant) -> str:
    """What to do about a file that lacks nothing but whole parts."""
    lacks_parts = variant.complete and not _diff(shapes, variant, incomplete=True)
    return "; --incomplete accepts a file without these parts" if lacks_parts else ""


def _fitting(diffs: Mapping[str, StateDictDiff]) -> list[str]:
    return [name for name, diff in diffs.items() if not diff]


def _scale_agrees(file: CheckpointFile, variant: Variant) -> bool:
    base = variant.architecture.diffusion.base_scale
    if file.scale is None or base is None or not variant.complete:
        return True
    return abs(file.scale - base) < _SCALE_TOLERANCE


def _check_types(file: CheckpointFile, names: Mapping[str, str]) -> None:
    odd = sorted({file.types[name] for name in names.values()} - _FLOATS)
    if odd:
        raise AnimaticError(
            f"{file.path} has tensors of type {', '.join(odd)}; only plain floating-point files "
            "are imported: use one that is not quantised"
        )


def _imported_parts(shapes: Layout, variant: Variant) -> set[str | None]:
    """Parts that the bundle gets: all of a complete file's; of others the network and what is whole."""
    if variant.complete:
        return {part_of(key) for key in shapes}
    whole: set[str | None] = {layout.NETWORK}
    for part, wanted in variant.layout().items():
        found = {key: shape for key, shape in shapes.items() if part_of(key) == part}
        if found and not compare(found, wanted):
            whole.add(part)
    return whole


def _group(key: str) -> str:
    return f"{key.partition('.')[0]}.*" if "." in key else key
