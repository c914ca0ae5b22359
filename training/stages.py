"""The stages as data: what each starts from, what it trains, what its network and samples look like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["context", "image attention", "temporal", "spatial"]


@dataclass(frozen=True)
class Stage:
    """One stage of the recipe.

    Attributes:
        trains: kinds of parameters that are trained; every other one is frozen.
        base: what the network itself comes from, in words; None where it comes from the parent.
        parent: the stage whose bundle it continues; None where there is none.
    """

    number: int
    name: str
    trains: frozenset[Kind]
    base: str | None
    parent: int | None


STAGES: dict[int, Stage] = {
    stage.number: stage
    for stage in (
        Stage(0, "prior", frozenset({"temporal", "spatial"}), "nothing, or Stable Diffusion 2.1", None),
        Stage(1, "context", frozenset({"context", "image attention"}), "Stable Diffusion 2.1", None),
        Stage(2, "adaptation", frozenset({"context", "image attention", "spatial"}), "VideoCrafter2", 1),
        Stage(3, "detail guidance", frozenset({"context", "image attention", "spatial"}), None, 2),
    )
}


def stage_values(stage: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a stage decides by definition, by dotted name, given the merged ``values``."""
    ablation = values.get("ablation") or {}
    model = values.get("model") or {}
    image = stage > 0 and not ablation.get("no_context")
    decided: dict[str, Any] = {
        "model.unet.temporal": stage != 1,
        "model.unet.image_cross_attention": image,
        "model.unet.detail_guidance": stage == 3 and not ablation.get("no_detail_guidance"),
        "data.sampling.images_only": stage == 1,
    }
    if image:
        decided["model.context.frames"] = None if stage == 1 else model.get("frames")
    else:
        decided["model.context"] = None
    if ablation.get("first_frame"):
        decided["data.sampling.condition"] = "first"
    sampling = (values.get("data") or {}).get("sampling") or {}
    for name in ("frames", "height", "width"):
        if name not in sampling:
            decided[f"data.sampling.{name}"] = model.get(name)
    return decided
