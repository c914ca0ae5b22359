"""The job: source videos are removed from datasets and latents; nothing else changes by a byte."""

from pipelines.takedown.job import TakedownResult, take_down
from pipelines.takedown.latents_plan import LatentsPlan, latents_of
from pipelines.takedown.plan import DatasetPlan, UnitPlan, plan_takedown

__all__ = [
    "DatasetPlan",
    "LatentsPlan",
    "TakedownResult",
    "UnitPlan",
    "latents_of",
    "plan_takedown",
    "take_down",
]
