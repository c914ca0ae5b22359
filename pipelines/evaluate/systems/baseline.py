"""A baseline as the system that generates clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from pipelines.evaluate.clips import SampleShape
from pipelines.evaluate.records import SystemRecord
from pipelines.evaluate.systems.baselines import BaselineSettings

if TYPE_CHECKING:
    from pipelines.evaluate.systems.baseline_pipeline import BaselinePipeline


@dataclass(frozen=True)
class BaselineSystem:
    """A baseline as a system: see :func:`baseline_system`."""

    settings: BaselineSettings
    record: SystemRecord
    sample_shape: SampleShape

    def shape(self, stride: int) -> SampleShape:
        """The frames and pixels at which its clips are compared."""
        return replace(self.sample_shape, stride=stride)

    def check(self, keys: Sequence[str]) -> None:
        """A network animates any picture."""

    def open(self, device: str) -> BaselinePipeline:
        """Load the weights. Raises AnimaticError if they have changed since they were described."""
        from pipelines.evaluate.systems.baseline_pipeline import BaselinePipeline

        if self.settings.digest() != self.record["digest"]:
            raise AnimaticError(f"{self.settings.weights} has changed since the evaluation began: rerun it")
        return BaselinePipeline(self.settings, self.sample_shape.frames, device)


def baseline_system(
    settings: BaselineSettings,
    shape: SampleShape,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> BaselineSystem:
    """Describe a baseline whose clips are compared at ``shape``.

    ``on_progress`` gets (megabytes read, megabytes): weights are identified by content.
    Raises AnimaticError as :meth:`BaselineSettings.check`.
    """
    settings = replace(settings, weights=settings.weights.resolve())
    settings.check()
    record: SystemRecord = {
        "kind": "baseline",
        "name": settings.name,
        "digest": settings.digest(on_progress),
        "sampling": settings.sampling(),
    }
    return BaselineSystem(settings, record, shape)
