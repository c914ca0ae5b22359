"""What generates the clips of an evaluation, behind one interface: :class:`System`."""

from pipelines.evaluate.systems.bundle import BundleSystem, bundle_system
from pipelines.evaluate.systems.system import OpenSystem, System, noise_seed

__all__ = ["BundleSystem", "OpenSystem", "System", "bundle_system", "noise_seed"]
