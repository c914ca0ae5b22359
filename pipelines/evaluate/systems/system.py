"""What generates the clips of an evaluation: a bundle, a folder of clips made elsewhere, a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pipelines.evaluate.clips import Pixels, RealClip, SampleShape
from pipelines.evaluate.records import SystemRecord
from pipelines.loader import derive_key

if TYPE_CHECKING:
    from models.animator import Animator


class System(Protocol):
    """A system that is described, and not yet loaded. It is sent to actors: it must be small.

    Everything that its clips depend on is in ``record``; the seed and the clips are the protocol's.
    """

    @property
    def record(self) -> SystemRecord:
        """Its description for the report."""
        ...

    def shape(self, stride: int) -> SampleShape:
        """The clips that it makes, for real clips with this distance between frames.

        Raises AnimaticError if it makes no clips.
        """
        ...

    def check(self, keys: Sequence[str]) -> None:
        """Raise AnimaticError if it has no clips for the held-out clips with these keys."""
        ...

    def open(self, device: str) -> OpenSystem:
        """Load it to a device ("cpu", "cuda"). Raises AnimaticError if it has changed since."""
        ...


class OpenSystem(Protocol):
    """A loaded system."""

    @property
    def animator(self) -> Animator | None:
        """The network, for metrics that measure one; None if it is not one of ours."""
        ...

    def generate(self, clips: Sequence[RealClip], seed: int) -> Pixels:
        """A clip for each first frame and caption: uint8 [n t h w 3].

        What is drawn for a clip depends on ``seed`` and its key alone. Raises AnimaticError for results that
        are not finite, and for a clip that cannot be made.
        """
        ...


def noise_seed(seed: int, key: str) -> int:
    """The seed, 62 bits, of the noise of the clip with this key."""
    return int.from_bytes(derive_key("noise", seed, key)[:8], "little") >> 2
