"""Layers of a configuration: nested values from files, options and assignments, merged into one.

Values are whatever YAML or the caller holds; :mod:`core.config.validation` makes typed models of them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from core.config.assignments import parse_assignment
from core.errors import AnimaticError

Layer = dict[str, Any]


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping with the same key twice, of which YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Layer:
    """The sections of a YAML file; an empty file has none.

    Raises AnimaticError if the file cannot be read, is not valid YAML, or does not contain a mapping.
    """
    try:
        content = yaml.load(path.read_text(), _UniqueKeys)
    except OSError as error:
        raise AnimaticError(f"cannot read configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise AnimaticError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise AnimaticError(f"{path} must contain sections of keys, not a {type(content).__name__}")
    return content


def nested(values: Mapping[str, Any]) -> Layer:
    """Values by dotted name as nested sections; a model as a value counts as the section of its fields."""
    layer: Layer = {}
    for name, value in values.items():
        section: Any = value.model_dump() if isinstance(value, BaseModel) else value
        for part in reversed(name.split(".")):
            section = {part: section}
        merge(layer, section)
    return layer


def user_layers(
    files: Iterable[str | Path] = (), values: Mapping[str, Any] | None = None, sets: Iterable[str] = ()
) -> list[Layer]:
    """What a user chose, in rising precedence.

    Args:
        files: YAML files.
        values: settings by dotted name, used as they are, never parsed.
        sets: assignments ``section.key=value`` with values in YAML.

    Raises AnimaticError for an unreadable file or a malformed assignment.
    """
    layers = [read_yaml(Path(file)) for file in files]
    return [*layers, nested(values or {}), *(nested(dict([parse_assignment(text)])) for text in sets)]


def merge(target: Layer, layer: Mapping[str, Any]) -> None:
    """Override ``target`` in place with ``layer``; sections are merged, lists and other values replaced."""
    for key, value in layer.items():
        if isinstance(value, Mapping):
            section = target.get(key)
            if not isinstance(section, dict):
                section = target[key] = {}
            merge(section, value)
        else:
            target[key] = value


def merged(layers: Iterable[Mapping[str, Any]]) -> Layer:
    """All layers in one, later ones winning."""
    result: Layer = {}
    for layer in layers:
        merge(result, layer)
    return result


def fill(target: Layer, fixed: Mapping[str, Any], chosen: Mapping[str, Any], *, fixed_by: str) -> None:
    """Set the values ``fixed`` (by dotted name) in ``target``.

    Raises AnimaticError if the user's own values, ``chosen`` (by dotted name), contradict one of them;
    ``fixed_by`` names in the message what fixes it.
    """
    for name, value in fixed.items():
        for taken in _contradictions(name, value, chosen):
            raise AnimaticError(f"{taken} cannot be {chosen[taken]!r}: {fixed_by} sets {name} to {value!r}")
    merge(target, nested(fixed))


def _contradictions(name: str, value: Any, chosen: Mapping[str, Any]) -> list[str]:
    """Names chosen by the user that rule out ``value``: another value, or no such section at all."""
    sections = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
    other = [name] if name in chosen and chosen[name] != value else []
    return other + [section for section in sections if section in chosen and chosen[section] is None]
