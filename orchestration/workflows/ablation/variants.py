"""The variants of an ablation as data: which stages each trains, with which switches of ``ablation``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from core.errors import AnimaticError


@dataclass(frozen=True)
class VariantStage:
    """A stage of a variant.

    Attributes:
        switches: fields of :class:`training.config.sections.AblationConfig` that are on. Only those that
            change this stage, so that stages that do not differ are the same run.
        steps_of: it trains for the steps that these stages have together; those of its own if empty.
    """

    number: int
    switches: tuple[str, ...] = ()
    steps_of: tuple[int, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One way to train the network: ``stages`` in order, each continuing the one before."""

    name: str
    title: str
    stages: tuple[VariantStage, ...]


FULL = Variant("full", "the whole method", (VariantStage(1), VariantStage(2), VariantStage(3)))

# Section 4.4 of the paper (arXiv:2310.12190). Variants without adaptation get its steps in stage 3, so that
# every variant with the whole network sees as many clips.
VARIANTS: tuple[Variant, ...] = (
    FULL,
    Variant(
        "no-context",
        "no context: neither query transformer nor image attention",
        (VariantStage(2, ("no_context",)), VariantStage(3, ("no_context",))),
    ),
    Variant(
        "no-detail-guidance",
        "no detail guidance: the picture's latent is not concatenated",
        (VariantStage(1), VariantStage(2), VariantStage(3, ("no_detail_guidance",))),
    ),
    Variant(
        "class-token",
        "the query transformer reads CLIP's class token alone",
        tuple(VariantStage(number, ("class_token",)) for number in (1, 2, 3)),
    ),
    Variant(
        "first-frame",
        "trained with the first frame as condition, not a random one",
        (VariantStage(1), VariantStage(2, ("first_frame",)), VariantStage(3, ("first_frame",))),
    ),
    Variant(
        "no-adaptation",
        "adaptation skipped: stage 3 directly from stage 1",
        (VariantStage(1), VariantStage(3, ("one_stage",), steps_of=(2, 3))),
    ),
    Variant(
        "joint",
        "one stage: query transformer and network trained at once from the base",
        (VariantStage(3, ("joint",), steps_of=(2, 3)),),
    ),
)


def choose_variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants of these names, all for none; the whole method, which others are compared with, is always
    among them and first.

    Raises:
        AnimaticError: there is no variant of a name.
    """
    by_name = {variant.name: variant for variant in VARIANTS}
    for name in names:
        if name not in by_name:
            near = get_close_matches(name, by_name, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(by_name)}"
            raise AnimaticError(f"there is no variant {name!r}: {hint}")
    return tuple(variant for variant in VARIANTS if not names or variant is FULL or variant.name in names)
