"""Markdown tables of every key of a configuration model: its values, default and meaning."""

import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config.keys import section_of

_HEAD = "| key | values | default | meaning |\n|---|---|---|---|\n"
_KINDS = {int: "integer", float: "number", str: "text", bool: "true, false", Path: "path", type(None): "null"}
# Names of pydantic's constraints on numbers.
_LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of"}


@dataclass(frozen=True)
class SectionReference:
    """A section of a configuration: ``name`` is dotted, "" for the keys outside sections."""

    name: str
    model: type[BaseModel]
    keys: tuple[tuple[str, FieldInfo], ...]


def sections(model: type[BaseModel], name: str = "") -> Iterator[SectionReference]:
    """The sections of ``model`` with their keys by dotted name; those of the items of a list are NAME[]."""
    prefix = f"{name}." if name else ""
    keys, inner = list[tuple[str, FieldInfo]](), list[tuple[str, type[BaseModel]]]()
    for key, field in model.model_fields.items():
        section, item = section_of(field), _item_model(field)
        if section is not None:
            inner.append((prefix + key, section))
            continue
        keys.append((prefix + key, field))
        if item is not None:
            inner.append((f"{prefix}{key}[]", item))
    yield SectionReference(name, model, tuple(keys))
    for inner_name, section in inner:
        yield from sections(section, inner_name)


def tables(
    model: type[BaseModel], heading: str, documented: Mapping[type[BaseModel], str] | None = None
) -> str:
    """A heading, the first paragraph of the docstring and a table for each section, in Markdown.

    Args:
        heading: that of the keys outside sections.
        documented: sections with tables elsewhere, and their names there: they get a reference only.
    """
    elsewhere, parts, referred = documented or {}, list[str](), list[str]()
    for section in sections(model):
        if section.name.startswith(tuple(f"{name}." for name in referred)):
            continue
        if section.model in elsewhere:
            referred.append(section.name)
            parts.append(f"### {section.name}\n\nThe keys of `{elsewhere[section.model]}`.")
        elif section.keys:
            parts.append(_table(section, heading))
    return "\n\n".join(parts)


def _table(section: SectionReference, heading: str) -> str:
    summary = inspect.cleandoc(section.model.__doc__ or "").partition("\n\n")[0]
    summary = summary.replace("\n", " ").replace("``", "`")
    rows = (
        (f"`{name}`", _values(field), _default(field), field.description or "")
        for name, field in section.keys
    )
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return f"### {section.name or heading}\n\n{summary}\n\n{_HEAD}" + "\n".join(lines)


def _item_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the items, if the field is a list of models."""
    if get_origin(field.annotation) is not list:
        return None
    (item,) = get_args(field.annotation)
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None


def _values(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(constraint, name)}"
        for name, sign in _LIMITS.items()
        for constraint in field.metadata
        if hasattr(constraint, name)
    ]
    return _kind(field.annotation, f" {' and '.join(limits)}" if limits else "")


def _kind(annotation: Any, limits: str = "") -> str:
    """What a value of this type is; ``limits`` are those of its numbers."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], limits)
    if origin is Literal:
        return ", ".join(str(value) for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(kind, limits) for kind in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"[{', '.join(map(_kind, inner))}]"
    if origin in (list, tuple):
        return f"[{_kind(inner[0])}, …]"
    if origin is dict:
        return f"{{{_kind(inner[0])}: {_kind(inner[1])}, …}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _KINDS[annotation] + (limits if annotation in (int, float) else "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False)}`"
