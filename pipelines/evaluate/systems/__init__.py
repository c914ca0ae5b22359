"""What generates the clips of an evaluation, behind one interface: :class:`System`."""

from pipelines.evaluate.systems.baseline import BaselineSystem, baseline_system
from pipelines.evaluate.systems.baselines import BASELINES, BaselineName, BaselineSettings
from pipelines.evaluate.systems.bundle import BundleSystem, bundle_system
from pipelines.evaluate.systems.generated import GeneratedSystem, generated_system
from pipelines.evaluate.systems.system import OpenSystem, System, noise_seed

__all__ = [
    "BASELINES",
    "BaselineName",
    "BaselineSettings",
    "BaselineSystem",
    "BundleSystem",
    "GeneratedSystem",
    "OpenSystem",
    "System",
    "baseline_system",
    "bundle_system",
    "generated_system",
    "noise_seed",
]
