"""Nested values → typed models, with errors of one line."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.config.keys import check_names
from core.config.layers import merged, user_layers
from core.errors import AnimaticError
from core.urls import has_credentials, is_url, without_credentials

Model = TypeVar("Model", bound=BaseModel)


def configure(
    model: type[Model],
    *,
    files: Iterable[str | Path] = (),
    values: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
) -> Model:
    """A ``model`` from what a user chose: files, then values, then assignments, later ones winning.

    Args and errors are those of :func:`core.config.layers.user_layers`, :func:`validate` and
    :func:`check_values`.
    """
    layers = user_layers(files, values, sets)
    check_names(model, *layers)
    return check_values(validate(model, merged(layers)))


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A ``model`` from nested values.

    Raises AnimaticError for a key that does not exist, naming the nearest one, and for values that do not
    fit, naming all of them.
    """
    check_names(model, values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(details) for details in error.errors())
        raise AnimaticError(f"invalid configuration: {problems}") from error


def check_values(config: Model) -> Model:
    """The configuration itself, as a user has chosen it; recorded ones may hold what earlier versions took.

    Raises AnimaticError for numbers that are not finite, with which no comparison means anything, and for
    text that no file or path can contain; for URLs with credentials, since configurations are recorded in run
    folders, bundles and trackers, except where a model's ``may_have_credentials`` has the field.
    """
    allowed: frozenset[str] = getattr(type(config), "may_have_credentials", frozenset())
    found = (
        (name, _unusable(value) or (None if name in allowed else _secret(value)))
        for name, value in _leaves(config.model_dump())
    )
    problems = [f"{name}: {problem}" for name, problem in found if problem]
    if problems:
        raise AnimaticError(f"invalid configuration: {'; '.join(problems)}")
    return config


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every scalar of nested values, with its dotted name."""
    items: Iterable[tuple[object, object]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, item in items:
        yield from _leaves(item, f"{name}.{key}" if name else str(key))


def _unusable(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"Input should be a finite number (got {value})"
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        return f"Input should be text without NUL and lone surrogates (got {value!r})"
    return None


def _secret(value: object) -> str | None:
    if isinstance(value, str) and is_url(value) and has_credentials(value):
        return (
            f"{without_credentials(value)} contains a password, token or signature, which would be recorded: "
            "leave it out; stores read theirs from the environment, as AWS_ACCESS_KEY_ID"
        )
    return None


def _problem(details: ErrorDetails) -> str:
    """Key, what is wrong with its value and the value itself where that is short."""
    name = ".".join(map(str, details["loc"]))
    message = details["msg"].removeprefix("Value error, ")
    found = details["input"]
    scalar = isinstance(found, (str, int, float)) and details["type"] != "missing"
    # Values may be URLs with passwords.
    message = f"{message} (got {without_credentials(repr(found))})" if scalar else message
    return f"{name}: {message}" if name else message
