"""Which captions a run is trained with: a setting, read without the libraries that apply it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.config.identity import IdentityFormat
from core.config.section import Section

TABLE = "table"


class Captions(Section):
    """The captions of clips: those of the source table, by default, or of columns beside the dataset."""

    sources: list[str] = Field(
        [TABLE],
        min_length=1,
        description="table: the captions of the source table; other names are columns beside the dataset, "
        "made by `animatic caption`. A clip has a caption of the first of them that has one for it",
    )
    weights: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(
        None,
        description="of the sources: each time a clip is used, its source is drawn among those that have a "
        "caption for it; null: the first of them",
    )
    draw: Literal["random", "first"] = Field(
        "random", description="which of the several captions that a clip may have in the table"
    )

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources {', '.join(self.sources)}: each may be named once")
        if self.weights is not None and len(self.weights) != len(self.sources):
            raise ValueError(
                f"weights has {len(self.weights)} numbers for {len(self.sources)} sources: give one for each"
            )
        return self


FROM_TABLE = Captions()
IDENTITY = IdentityFormat({"": ("sources", "weights", "draw")})
