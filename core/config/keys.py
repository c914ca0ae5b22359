"""Dotted names of configuration keys, and the nearest one to a name that does not exist."""

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.errors import AnimaticError


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds, optional or not; None for other fields, and for lists and mappings of
    models."""
    if get_origin(field.annotation) in (list, dict):
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted name; lists and empty sections are values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, name + ".")
        else:
            flat[name] = value
    return flat


def check_names(model: type[BaseModel], *layers: Mapping[str, Any]) -> None:
    """Raise AnimaticError for the first key in ``layers`` that ``model`` lacks, naming the nearest one.

    Items of lists of sections are checked too: ``data.others.0.weight`` is a key of the first item. The keys
    of a field that is a mapping are the user's own; what sections they hold is checked.
    """
    for layer in layers:
        _check_layer(model, layer, "")


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error about ``name``: the known one that was probably meant, and all of them."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f": did you mean {matches[0]!r}?" if matches else ":"
    return f"{meant} choose one of {', '.join(known)}"


class _Keys(NamedTuple):
    """What a model has: its keys in order, the names of its sections, and which keys are mappings."""

    fields: Mapping[str, FieldInfo]
    sections: frozenset[str]
    mappings: tuple[str, ...]


@functools.cache
def _keys_of(model: type[BaseModel]) -> _Keys:
    fields = dict(_leaves(model))
    sections = {name.rsplit(".", depth)[0] for name in fields for depth in range(1, name.count(".") + 1)}
    mappings = tuple(name for name, field in fields.items() if get_origin(field.annotation) is dict)
    return _Keys(fields, frozenset(sections), mappings)


def _check_layer(model: type[BaseModel], layer: Mapping[str, Any], prefix: str) -> None:
    fields, sections, mappings = _keys_of(model)
    for key, value in flatten(layer).items():
        name = prefix + key
        mapping = next((field for field in mappings if key.startswith(f"{field}.")), None)
        if mapping is not None:
            _check_entry(fields[mapping], name, len(prefix) + len(mapping) + 1, value)
        elif key in fields:
            _check_items(fields[key], name, value)
        elif key in sections and value is not None and value != {}:
            raise AnimaticError(
                f"configuration key {name!r} is a section: set one of its keys, {name}.<key>=value"
            )
        elif key not in sections:
            known = [prefix + field for field in fields]
            raise AnimaticError(f"unknown configuration key {name!r}{_suggestion(name, known)}")


def _check_items(field: FieldInfo, name: str, value: object) -> None:
    if get_origin(field.annotation) is list and isinstance(value, list):
        (kind,) = get_args(field.annotation)
        for number, item in enumerate(value):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(item, Mapping):
                _check_layer(kind, item, f"{name}.{number}.")


def _check_entry(field: FieldInfo, name: str, start: int, value: object) -> None:
    """Check ``name``, of an entry of a mapping whose key begins at ``start``."""
    _, kind = get_args(field.annotation)
    entry, _, key = name[start:].partition(".")
    if key and isinstance(kind, type) and issubclass(kind, BaseModel):
        _check_layer(kind, {key: value}, f"{name[:start]}{entry}.")


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted name and field of every key of ``model``, in order, those of its sections included."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield prefix + name, field
        else:
            yield from _leaves(section, f"{prefix}{name}.")


def _suggestion(name: str, known: list[str]) -> str:
    """Name the known key that was probably meant: the same key in another section, else the best match."""
    key = name.rpartition(".")[2]
    same_key = [candidate for candidate in known if candidate.rpartition(".")[2] == key]
    nearest = difflib.get_close_matches(name, same_key or known, n=1, cutoff=0.0 if same_key else 0.5)
    if not nearest:
        by_key = {candidate.rpartition(".")[2]: candidate for candidate in known}
        nearest = [by_key[match] for match in difflib.get_close_matches(key, by_key, n=1, cutoff=0.6)]
    return f": did you mean {nearest[0]!r}?" if nearest else "; docs/configuration.md lists all keys"
