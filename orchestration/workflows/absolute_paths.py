"""A run's configuration that means the same in any working folder."""

from __future__ import annotations

from core.config import locations
from core.urls import absolute
from training.config import RunConfig

_PATHS = (
    "data.dataset", "data.latents", "data.cache.folder", "model.codec.path", "model.encoders.path",
    "init.parent", "init.checkpoint", "validation.data",
)  # fmt: skip
_PRIOR = "prior"  # of init.base: the bundle that ships with the code
_SQLITE = "sqlite:///"


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The configuration with every local path absolute, also of a local tracker."""
    base = () if config.init.base == _PRIOR else ("init.base",)
    config = locations.with_absolute_paths(config, *_PATHS, *base)
    others = [locations.with_absolute_paths(other, "dataset", "latents") for other in config.data.others]
    uri = absolute_tracker(config.tracking.mlflow_uri)
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"others": others}),
            "tracking": config.tracking.model_copy(update={"mlflow_uri": uri}),
        }
    )


def absolute_tracker(uri: str | None) -> str | None:
    """The address of a tracker, the path of a local one absolute."""
    if uri is None or not uri.startswith(_SQLITE):
        return uri
    return _SQLITE + absolute(uri.removeprefix(_SQLITE))
