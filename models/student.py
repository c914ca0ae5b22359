"""What a distilled network was trained for. Imports no torch."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from core.config.section import Section


def _check_range(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if not 0 <= low <= high:
        raise ValueError(f"a range of guidance is [low, high] with 0 <= low <= high, not [{low:g}, {high:g}]")
    return ends


Scales = Annotated[tuple[float, float], AfterValidator(_check_range)]


class StudentConfig(Section):
    """The guided predictions of a teacher that a network with guidance embedding makes in one pass."""

    model_config = ConfigDict(allow_inf_nan=False)

    text_guidance: Scales = Field((1.0, 15.0), description="scales of guidance by the text: [low, high]")
    image_guidance: Scales | None = Field(
        None, description="scales of guidance by the image: [low, high]; null: always that by the text"
    )
    points: int | None = Field(
        None,
        gt=1,
        le=1000,
        description="of the teacher's DDIM, between which predictions agree, for few steps of solver "
        "consistency; null: the guidance is distilled alone",
    )
    guidance_rescale: float = Field(
        0.0, ge=0, le=1, description="share of the rescaled prediction, as of sampling; fixed by the training"
    )

    def covers(self, other: "StudentConfig") -> bool:
        """Whether this network makes every prediction that the ``other`` configuration asks of a teacher."""
        mine = self.image_guidance or self.text_guidance
        theirs = other.image_guidance or other.text_guidance
        return (
            self.points is None
            and _covers(self.text_guidance, other.text_guidance)
            and _covers(mine, theirs)
            and (self.image_guidance is not None or other.image_guidance is None)
            and self.guidance_rescale == other.guidance_rescale
        )


def _covers(whole: tuple[float, float], part: tuple[float, float]) -> bool:
    return whole[0] <= part[0] and part[1] <= whole[1]
