"""Configuration models as a later version might define them: with one more field, at its default."""

from typing import Any

from pydantic import BaseModel, create_model

from core.config.keys import section_of

ADDED = "added_later"


def grown(model: type[BaseModel], section: str = "") -> Any:
    """A subclass of ``model`` whose ``section`` (dotted name; "" for the model itself) has a field more."""
    if not section:
        return create_model(model.__name__, __base__=model, **{ADDED: (int, 0)})
    name, _, rest = section.partition(".")
    field = model.model_fields[name]
    inner = section_of(field)
    assert inner is not None
    larger = grown(inner, rest)
    default = field.default
    if isinstance(default, BaseModel):
        default = larger(**default.model_dump())
    elif field.is_required():
        default = ...
    return create_model(model.__name__, __base__=model, **{name: (larger | None, default)})
