"""The engine of a replica: claims jobs, samples their clips on the device, and stores them."""

from orchestration.serving.engine.device import ENVIRONMENT, allocated_bytes, free_memory, is_out_of_memory
from orchestration.serving.engine.engine import Engine
from orchestration.serving.engine.faults import Outage, fault_id
from orchestration.serving.engine.health import EngineError
from orchestration.serving.engine.interface import LoadedModel, Models
from orchestration.serving.engine.smoke import small_clip

__all__ = [
    "ENVIRONMENT",
    "Engine",
    "EngineError",
    "LoadedModel",
    "Models",
    "Outage",
    "allocated_bytes",
    "fault_id",
    "free_memory",
    "is_out_of_memory",
    "small_clip",
]
