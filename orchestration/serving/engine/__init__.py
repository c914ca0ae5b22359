"""The engine of a replica: claims jobs, samples their clips on the device, and stores them."""

from orchestration.serving.engine.engine import Engine
from orchestration.serving.engine.health import EngineError
from orchestration.serving.engine.interface import LoadedModel, Models
from orchestration.serving.engine.memory import allocated_bytes

__all__ = ["Engine", "EngineError", "LoadedModel", "Models", "allocated_bytes"]
