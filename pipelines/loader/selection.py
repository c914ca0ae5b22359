"""Which clips of a dataset are trained on: a setting, read without the libraries that apply it."""

from typing import Annotated

from pydantic import Field

from core.config.identity import IdentityFormat
from core.config.section import Section

Limit = Annotated[float, Field(allow_inf_nan=False)]


class Selection(Section):
    """Clips that training leaves out, by default none. The dataset itself stays as it is."""

    skip_duplicates: bool = Field(False, description="leave out clips that look like an earlier one")
    skip_similar: bool = Field(
        False, description="leave out clips that `animatic similar` found alike to an earlier one"
    )
    min_clip_similarity: float | None = Field(
        None, ge=-1, le=1, description="leave out clips whose image and caption are less alike to CLIP"
    )
    min: dict[str, Limit] = Field(
        {},
        description="smallest value by column, as {flow: 2}: of samples.parquet or of a column beside the "
        "dataset; clips without a value are left out",
    )
    max: dict[str, Limit] = Field({}, description="largest value by column, as {blur: 0.5}")


EVERYTHING = Selection()
IDENTITY = IdentityFormat({"": ("skip_duplicates", "min_clip_similarity")})
