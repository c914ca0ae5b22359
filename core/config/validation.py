"""Nested values → typed models, with errors of one line."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.config.keys import check_names
from core.config.layers import merged, user_layers
from core.errors import AnimaticError
from core.urls import without_credentials

Model = TypeVar("Model", bound=BaseModel)


def configure(
    model: type[Model],
    *,
    files: Iterable[str | Path] = (),
    values: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
) -> Model:
    """A ``model`` from what a user chose: files, then values, then assignments, later ones winning.

    Args and errors are those of :func:`core.config.layers.user_layers` and of :func:`validate`.
    """
    layers = user_layers(files, values, sets)
    check_names(model, *layers)
    return validate(model, merged(layers))


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


def _problem(details: ErrorDetails) -> str:
    """Key, what is wrong with its value and the value itself where that is short."""
    name = ".".join(map(str, details["loc"]))
    message = details["msg"].removeprefix("Value error, ")
    found = details["input"]
    scalar = isinstance(found, (str, int, float)) and details["type"] != "missing"
    # Values may be URLs with passwords.
    message = f"{message} (got {without_credentials(repr(found))})" if scalar else message
    return f"{name}: {message}" if name else message
