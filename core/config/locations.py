"""Paths in configurations, for processes with another working directory."""

from typing import TypeVar

from pydantic import BaseModel

from core.urls import absolute

Config = TypeVar("Config", bound=BaseModel)


def with_absolute_paths(config: Config, *names: str) -> Config:
    """The same configuration with absolute paths in these fields; ``codec.path`` is one of a section.

    Ray's workers have working directories of their own. URLs and fields that are None stay as they are.
    """
    for name in names:
        field, _, rest = name.partition(".")
        value = getattr(config, field)
        if value is not None:
            changed = with_absolute_paths(value, rest) if rest else absolute(value)
            config = config.model_copy(update={field: changed})
    return config
