"""The HTTP API: an ASGI app over the stores, without devices and without Ray."""

from orchestration.serving.api.app import build_app
from orchestration.serving.api.figures import GAUGES, NAMES

__all__ = ["GAUGES", "NAMES", "build_app"]
