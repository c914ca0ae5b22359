"""Which published checkpoint a file is, and which of its tensors become a bundle."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import AnimaticError
from models.checkpoints import layout
from models.checkpoints.containers import Source
from models.checkpoints.layout import Layout, part_of
from models.checkpoints.variants import Variant
from models.state_dict_diff import StateDictDiff, compare

# The frame-rate embedding's name in the first published checkpoint -> its name in all others.
LEGACY = {"model.diffusion_model.framestride_embed.": "model.diffusion_model.fps_embedding."}
# Not weights of the network in use: a second, averaged copy of them, and a training loss.
LEFT_OUT = ("model_ema.", "first_stage_model.loss.", "logvar")
_FLOATS = {"F16", "BF16", "F32", "F64"}
_SCALE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Recognised:
    """A file and what is to be taken from it.

    Attributes:
        names: public key -> key in the file, for every tensor that the bundle gets.
        left_out: what is not taken -> number of tensors.
        absent: parts of the published layout that the file does not hold.
        remarks: for the user.
    """

    variant: Variant
    names: Mapping[str, str]
    left_out: Mapping[str, int]
    absent: tuple[str, ...]
    remarks: tuple[str, ...]


def recognise(
    source: Source, variants: Mapping[str, Variant], wanted: str | None = None, *, incomplete: bool = False
) -> Recognised:
    """Match a file with a variant, strictly.

    Args:
        variants: the candidates.
        wanted: the variant's name; None finds it out.
        incomplete: accept a file that lacks whole parts (autoencoder, encoders, schedule).

    Raises:
        AnimaticError: listing what is missing, unexpected or wrongly shaped, and what the file looks like; or
            asking for the name where several variants fit.
    """
    if wanted is not None and wanted not in variants:
        raise AnimaticError(f"no variant is called {wanted!r}: choose one of {', '.join(variants)}")
    found = _by_public_name(source)
    kept = {key: stored for key, stored in found.items() if not key.startswith(LEFT_OUT)}
    shapes = {key: source.shapes[stored] for key, stored in kept.items()}
    judged = {name: _judge(shapes, variant, incomplete) for name, variant in variants.items()}
    if wanted is None:
        variant, remarks = _detected(source, variants, judged, shapes)
    else:
        variant, remarks = _named(source, variants, judged, shapes, wanted), ()
    parts = _taken_parts(shapes, variant)
    names = {key: stored for key, stored in kept.items() if part_of(key) in parts}
    _check_types(source, names)
    counts = Counter(_group(key) for key in found if key not in names)
    present = {part_of(key) for key in names}
    absent = tuple(part for part in variant.layout() if part not in present)
    return Recognised(variant, names, dict(counts), absent, remarks)


def _by_public_name(source: Source) -> dict[str, str]:
    """Public key -> key in the file."""
    found: dict[str, str] = {}
    for key in source.shapes:
        legacy = next((prefix for prefix in LEGACY if key.startswith(prefix)), None)
        public = LEGACY[legacy] + key.removeprefix(legacy) if legacy else key
        if public in found:
            raise AnimaticError(
                f"{source.path} holds both {found[public]} and {key}, two names of one tensor: remove one"
            )
        found[public] = key
    return found


def _judge(shapes: Layout, variant: Variant, incomplete: bool) -> StateDictDiff:
    """How the file differs from what the variant's must hold."""
    required = variant.required()
    if variant.complete:
        if incomplete:
            present = {part_of(key) for key in shapes} | {layout.NETWORK}
            required = {key: shape for key, shape in required.items() if part_of(key) in present}
        return compare(shapes, required)
    strict = {key: shape for key, shape in shapes.items() if part_of(key) in (layout.NETWORK, None)}
    return compare(strict, required)


def _named(
    source: Source,
    variants: Mapping[str, Variant],
    judged: Mapping[str, StateDictDiff],
    shapes: Layout,
    wanted: str,
) -> Variant:
    if judged[wanted]:
        nearest = min(
            judged, key=lambda name: (_distance(judged[name]), not _scale_agrees(source, variants[name]))
        )
        closer = _distance(judged[nearest]) < _distance(judged[wanted])
        hint = f"; it looks like {nearest}" if closer else _advice(shapes, variants[wanted])
        raise AnimaticError(f"{source.path} is not {wanted}: {judged[wanted]}{hint}")
    if not _scale_agrees(source, variants[wanted]):
        others = [name for name in _fitting(judged) if _scale_agrees(source, variants[name])]
        hint = f"; it looks like {others[0]}" if others else ""
        raise AnimaticError(
            f"{source.path} is not {wanted}: its scale_arr ends at {source.scale:.3g}, not at "
            f"{variants[wanted].architecture.diffusion.base_scale}{hint}"
        )
    return variants[wanted]


def _detected(
    source: Source, variants: Mapping[str, Variant], judged: Mapping[str, StateDictDiff], shapes: Layout
) -> tuple[Variant, tuple[str, ...]]:
    fitting = _fitting(judged)
    if not fitting:
        nearest = min(judged, key=lambda name: _distance(judged[name]))
        raise AnimaticError(
            f"{source.path} is none of the published checkpoints; nearest is {nearest}: {judged[nearest]}"
            f"{_advice(shapes, variants[nearest])}"
        )
    if len(fitting) == 1:
        return variants[fitting[0]], ()
    scaled = [name for name in fitting if source.scale is not None and _scale_agrees(source, variants[name])]
    if not scaled:
        reason = "is not there" if source.scale is None else f"ends at {source.scale:.3g}"
        raise AnimaticError(
            f"{source.path} fits {', '.join(fitting)}, which have the same tensors, and scale_arr, which "
            f"would tell, {reason}: name the one that it is with --as"
        )
    return variants[scaled[0]], tuple(
        f"{name} has the same tensors: give --as {name} if it is that one" for name in scaled[1:]
    )


def _distance(differences: StateDictDiff) -> tuple[int, int]:
    """How far a file is from a variant: by its network first, since not every variant has other parts."""
    names = [*differences.missing, *differences.unexpected, *differences.reshaped]
    return sum(part_of(name) in (layout.NETWORK, None) for name in names), len(names)


def _advice(shapes: Layout, variant: Variant) -> str:
    """What to do about a file that lacks nothing but whole parts."""
    lacks_parts = variant.complete and not _judge(shapes, variant, incomplete=True)
    return "; --incomplete accepts a file without these parts" if lacks_parts else ""


def _fitting(judged: Mapping[str, StateDictDiff]) -> list[str]:
    return [name for name, differences in judged.items() if not differences]


def _scale_agrees(source: Source, variant: Variant) -> bool:
    base = variant.architecture.diffusion.base_scale
    if source.scale is None or base is None or not variant.complete:
        return True
    return abs(source.scale - base) < _SCALE_TOLERANCE


def _check_types(source: Source, kept: Mapping[str, str]) -> None:
    odd = sorted({source.types[stored] for stored in kept.values()} - _FLOATS)
    if odd:
        raise AnimaticError(
            f"{source.path} has tensors of type {', '.join(odd)}; only plain floating-point files "
            "are imported: take one that is not quantised"
        )


def _taken_parts(shapes: Layout, variant: Variant) -> set[str | None]:
    """Parts that the bundle gets: all of a complete file's; of others the network and what is whole."""
    if variant.complete:
        return {part_of(key) for key in shapes}
    whole: set[str | None] = {layout.NETWORK}
    for part, wanted in variant.layout().items():
        held = {key: shape for key, shape in shapes.items() if part_of(key) == part}
        if held and not compare(held, wanted):
            whole.add(part)
    return whole


def _group(key: str) -> str:
    return f"{key.partition('.')[0]}.*" if "." in key else key
