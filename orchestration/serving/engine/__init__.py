"""The engine of a replica: claims jobs, samples their clips on the device, and stores them."""

from orchestration.serving.engine.device import ENVIRONMENT, allocated_bytes
from orchestration.serving.engine.engine import Engine
from orchestration.serving.engine.health import EngineError
from orchestration.serving.engine.interface import LoadedModel, Models

__all__ = ["ENVIRONMENT", "Engine", "EngineError", "LoadedModel", "Models", "allocated_bytes"]
