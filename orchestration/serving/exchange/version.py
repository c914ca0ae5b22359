"""One version of a model: an export, verified and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from models.asked_motion import motion_range
from models.modes import Mode, frames_to_sample
from orchestration.export import ExportedBundle
from orchestration.registry import check_animates
from orchestration.serving.jobs import ServedVersion

if TYPE_CHECKING:
    from models.animator import Animator
    from models.architecture import Architecture

_MODES: tuple[Mode, ...] = ("animate", "interpolate", "loop")


@dataclass(frozen=True, eq=False)
class Version:
    """A version of a model; ``animator``: shared between names that refer to the same export."""

    name: str
    exported: ExportedBundle
    animator: Animator

    @property
    def manifest(self) -> str:
        """The digest that identifies the version."""
        return self.exported.export.digest

    @property
    def bundle_id(self) -> str:
        """The id of its bundle."""
        return self.exported.bundle.id

    def described(self, since: datetime) -> ServedVersion:
        """What clients learn about it."""
        manifest, architecture = self.exported.export.manifest, self.animator.architecture
        return ServedVersion(
            name=self.name,
            bundle_id=self.bundle_id,
            manifest=self.manifest,
            preset=manifest.preset,
            stage=manifest.stage,
            alias=self.exported.pointer.alias,
            since=since,
            width=architecture.width,
            height=architecture.height,
            frames=architecture.frames,
            modes=tuple(mode for mode in _MODES if _supports(architecture, mode)),
            sampling=self.exported.sampling,
            motion=motion_range(architecture),
            student=architecture.student,
        )


def load_version(exported: ExportedBundle, name: str) -> Version:
    """Load an export on the CPU.

    Raises:
        AnimaticError: it cannot animate, lacks a part, its weights do not fit its architecture, or one of
            them is not finite.
    """
    check_animates(exported.bundle, exported.part("codec"), exported.part("encoders"))
    animator = exported.animator()
    for weight, values in animator.named_parameters():
        if not values.isfinite().all():
            raise AnimaticError(f"weight {weight} of bundle {exported.bundle.id[:12]} is not finite")
    return Version(name, exported, animator)


def _supports(architecture: Architecture, mode: Mode) -> bool:
    try:
        frames_to_sample(architecture, mode, None)
    except AnimaticError:
        return False
    return True
