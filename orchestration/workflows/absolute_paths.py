"""A run's configuration that means the same in any working folder."""

from __future__ import annotations

from typing import Any

from core.urls import absolute
from training.config import RunConfig

_PATHS = (
    "data.dataset", "data.latents", "data.cache.folder", "model.codec.path", "model.encoders.path",
    "init.base", "init.parent", "init.checkpoint",
)  # fmt: skip
_SQLITE = "sqlite:///"


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The configuration with every local path absolute, also of a local tracker."""
    values = config.model_dump()
    for name in _PATHS:
        *sections, key = name.split(".")
        section: Any = values
        for part in sections:
            section = section[part]
        if section[key] is not None and (name, section[key]) != ("init.base", "prior"):
            section[key] = absolute(section[key])
    for other in values["data"]["others"]:
        for key in ("dataset", "latents"):
            other[key] = None if other[key] is None else absolute(other[key])
    values["tracking"]["mlflow_uri"] = absolute_tracker(config.tracking.mlflow_uri)
    return RunConfig.model_validate(values)


def absolute_tracker(uri: str | None) -> str | None:
    """The address of a tracker, the path of a local one absolute."""
    if uri is None or not uri.startswith(_SQLITE):
        return uri
    return _SQLITE + absolute(uri.removeprefix(_SQLITE))
