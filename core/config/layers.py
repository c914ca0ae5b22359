"""Layers of a configuration as nested values: presets, YAML files, assignments, and one laid over another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core.errors import AnimaticError


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a file. Raises AnimaticError if it cannot be read or holds something else."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise AnimaticError(f"cannot read configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise AnimaticError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise AnimaticError(
            f"{path} must hold sections (model:, train:, ...), not a {type(content).__name__}"
        )
    return content


def assignment(text: str) -> dict[str, Any]:
    """``section.key=value`` as nested values. Raises AnimaticError if it is none."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise AnimaticError(f"{text!r} is not an assignment: write section.key=value, as in train.steps=100")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise AnimaticError(f"the value in {text!r} is not valid YAML: quote it") from error
    return nested({name.strip(): parsed})


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted name as nested sections."""
    layer: dict[str, Any] = {}
    for name, value in values.items():
        for part in reversed(name.split(".")):
            value = {part: value}
        merge(layer, value)
    return layer


def merge(target: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Lay ``layer`` over ``target``, which changes; lists are replaced whole."""
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = json.loads(json.dumps(value)) if isinstance(value, Mapping) else value


def fill(merged: dict[str, Any], values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Put what the stage decides in place; whoever asked for something else is told."""
    for name, value in values.items():
        if name in given and given[name] != value:
            raise AnimaticError(
                f"{name} cannot be {given[name]!r}: stage {merged['stage']} of this model makes it {value!r}"
            )
        *sections, key = name.split(".")
        target = merged
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
