"""Dotted names of configuration keys: which exist, and which one was meant."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.errors import AnimaticError


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key below ``model`` with its dotted name, sections unfolded."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield prefix + name, field
        else:
            yield from leaves(section, f"{prefix}{name}.")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one (optional ones included, lists of them not)."""
    if get_origin(field.annotation) is list:
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted name; lists and empty sections count as values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, name + ".")
        else:
            flat[name] = value
    return flat


def check_names(model: type[BaseModel], values: Mapping[str, Any]) -> None:
    """Raise AnimaticError for the first key that ``model`` does not have, naming the nearest one."""
    known = [name for name, _ in leaves(model)]
    sections = {name.rsplit(".", depth)[0] for name in known for depth in range(1, name.count(".") + 1)}
    for name, value in flatten(values).items():
        if name in known or (name in sections and (value is None or value == {})):
            continue
        if name in sections:
            raise AnimaticError(
                f"configuration key {name!r} is a section: set one of its keys, {name}.<key>=value"
            )
        raise AnimaticError(f"unknown configuration key {name!r}{_suggestion(name, known)}")


def _suggestion(name: str, known: list[str]) -> str:
    """The known name nearest to ``name``; a right key in a wrong section is nearest of all."""
    key = name.rpartition(".")[2]
    same_key = [candidate for candidate in known if candidate.rpartition(".")[2] == key]
    near = difflib.get_close_matches(name, same_key or known, n=1, cutoff=0.0 if same_key else 0.5)
    if not near:
        by_key = {candidate.rpartition(".")[2]: candidate for candidate in known}
        near = [by_key[match] for match in difflib.get_close_matches(key, by_key, n=1, cutoff=0.6)]
    return f": did you mean {near[0]!r}?" if near else "; see --print-config for all keys"
