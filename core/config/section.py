"""The base class of configurations."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A configuration or a section of one: immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
