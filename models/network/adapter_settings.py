"""Settings of an adapter; torch-free, for configurations and the descriptions of bundles."""

from typing import Literal, get_args

from pydantic import Field, field_validator

from core.config.section import Section

Target = Literal["attention", "feed_forward", "image_attention", "convolutions"]
TARGETS: tuple[Target, ...] = get_args(Target)


class AdapterSettings(Section):
    """A low-rank adapter (LoRA, arXiv:2106.09685): W + alpha / rank · B A in place of each chosen weight W.

    Of the layers whose weights a stage would train, those of the kinds in ``targets`` are chosen.
    """

    kind: Literal["lora"] = Field("lora", description="low-rank updates of the weights, which stay frozen")
    rank: int = Field(16, gt=0, description="rows of A and columns of B in each layer")
    alpha: float = Field(16.0, gt=0, description="the update counts alpha / rank times")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the inputs of A, in training")
    targets: tuple[Target, ...] = Field(
        ("attention", "feed_forward", "image_attention"),
        min_length=1,
        description="layers: attention (queries, keys, values and outputs of every attention), feed_forward, "
        "image_attention (keys and values of image tokens), convolutions",
    )
    temporal: bool = Field(False, description="adapt temporal layers in stages that freeze them, too")

    @field_validator("targets")
    @classmethod
    def _each_once(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        """In one order: the same targets have the same identity."""
        return tuple(target for target in TARGETS if target in targets)

    @property
    def scale(self) -> float:
        """The factor of B A."""
        return self.alpha / self.rank
