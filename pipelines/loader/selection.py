"""Which clips of a dataset are trained on: a setting, read without the libraries that apply it."""

from pydantic import Field

from core.config.identity import IdentityFormat
from core.config.section import Section


class Selection(Section):
    """Clips that training leaves out, by default none. The dataset itself stays as it is."""

    skip_duplicates: bool = Field(False, description="leave out clips that look like an earlier one")
    min_clip_similarity: float | None = Field(
        None, ge=-1, le=1, description="leave out clips whose image and caption are less alike to CLIP"
    )


EVERYTHING = Selection()
IDENTITY = IdentityFormat({"": ("skip_duplicates", "min_clip_similarity")})
