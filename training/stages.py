"""The stages as data: what each trains, where its initial weights come from, and what its network has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["context", "image attention", "temporal", "spatial"]
Origin = Literal["base", "parent", "new"]

_CONTEXT_KINDS: frozenset[Kind] = frozenset({"context", "image attention"})
_ALL_FROM_PARENT: Mapping[Kind, Origin] = {
    "context": "parent",
    "image attention": "parent",
    "temporal": "parent",
    "spatial": "parent",
}


@dataclass(frozen=True)
class Stage:
    """One stage of the recipe.

    Attributes:
        trains: kinds of parameters that are trained; all others are frozen.
        origins: of the initial weights, for each kind of parameter that the network has.
        base: the published network that ``init.base`` is a bundle of, for messages; None without a base.
        base_optional: weights that the base lacks, or all without a base, are new.
        parent: the stage whose bundle ``init.parent`` is; None without a parent.
        temporal: the network has temporal layers and trains on clips; otherwise on single images.
        image_context: the network has a query transformer and image cross-attention.
        detail_guidance: the condition frame's latent is concatenated to the network's input.
        distils: the parent, frozen, is the teacher of a network with guidance embedding.
    """

    number: int
    name: str
    trains: frozenset[Kind]
    origins: Mapping[Kind, Origin]
    base: str | None = None
    base_optional: bool = False
    parent: int | None = None
    temporal: bool = True
    image_context: bool = True
    detail_guidance: bool = False
    distils: bool = False

    @property
    def uses_base(self) -> bool:
        """Whether weights come from ``init.base``."""
        return self.base is not None

    @property
    def parents(self) -> frozenset[int]:
        """Stages whose bundle may be the parent.

        A stage whose weights all come from the parent may also continue a bundle of its own: the released
        code's recipe for the published weights.
        """
        if self.parent is None:
            return frozenset()
        whole = set(self.origins.values()) == {"parent"}
        return frozenset({self.parent, self.number} if whole else {self.parent})

    def ablated(self, *, no_context: bool, one_stage: bool, joint: bool = False) -> "Stage":
        """The stage under the ablations of these names, which change its sources."""
        stage = self
        if (one_stage or joint) and self.number == 3:
            second = STAGES[2]
            stage = replace(self, origins=second.origins, base=second.base, parent=second.parent)
        if joint and self.number == 3:
            new: dict[Kind, Origin] = dict.fromkeys(_CONTEXT_KINDS, "new")
            stage = replace(stage, origins={**stage.origins, **new}, parent=None)
        remaining = {origin for kind, origin in stage.origins.items() if kind not in _CONTEXT_KINDS}
        if no_context and "parent" not in remaining:
            stage = replace(stage, parent=None)
        return stage


STAGES: dict[int, Stage] = {
    stage.number: stage
    for stage in (
        Stage(
            number=0,
            name="prior",
            trains=frozenset({"temporal", "spatial"}),
            origins={"temporal": "base", "spatial": "base"},
            base="Stable Diffusion 2.1",
            base_optional=True,
            image_context=False,
        ),
        Stage(
            number=1,
            name="context",
            trains=frozenset({"context", "image attention"}),
            origins={"context": "new", "image attention": "new", "spatial": "base"},
            base="Stable Diffusion 2.1",
            temporal=False,
        ),
        Stage(
            number=2,
            name="adaptation",
            trains=frozenset({"context", "image attention", "spatial"}),
            origins={"context": "parent", "image attention": "parent", "temporal": "base", "spatial": "base"},
            base="VideoCrafter2",
            parent=1,
        ),
        Stage(
            number=3,
            name="detail guidance",
            trains=frozenset({"context", "image attention", "spatial"}),
            origins=_ALL_FROM_PARENT,
            parent=2,
            detail_guidance=True,
        ),
        Stage(
            number=4,
            name="distillation",
            trains=frozenset({"context", "image attention", "temporal", "spatial"}),
            origins=_ALL_FROM_PARENT,
            parent=3,
            detail_guidance=True,
            distils=True,
        ),
    )
}


def stage_values(number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a stage decides by definition, by dotted name; ``values``: all settings, merged."""
    stage = STAGES[number]
    ablation = values.get("ablation") or {}
    model = values.get("model") or {}
    image_context = stage.image_context and not ablation.get("no_context")
    # A prior that draws clips with and without a condition starts stage 3's detail guidance.
    conditioned = number == 0 and (values.get("objective") or {}).get("condition_share") is not None
    detail_guidance = stage.detail_guidance and not ablation.get("no_detail_guidance")
    decided: dict[str, Any] = {
        "model.unet.temporal": stage.temporal,
        "model.unet.image_cross_attention": image_context,
        "model.unet.detail_guidance": detail_guidance or conditioned,
        "model.unet.guidance_embedding": stage.distils,
        "data.sampling.images_only": not stage.temporal,
    }
    if not stage.distils:
        decided["model.student"] = None
    if (model.get("unet") or {}).get("motion_condition"):
        decided["data.sampling.motion_condition"] = stage.temporal  # images move nowhere
    if image_context:
        decided["model.context.frames"] = model.get("frames") if stage.temporal else None
        if ablation.get("class_token"):
            decided["model.context.tokens"] = "class"
    else:
        decided["model.context"] = None
    if ablation.get("first_frame"):
        decided["data.sampling.condition"] = "first"
    sampling = (values.get("data") or {}).get("sampling") or {}
    for name in ("frames", "height", "width"):
        if name not in sampling:
            decided[f"data.sampling.{name}"] = model.get(name)
    return decided
