"""Which of a clip's encodings is read: the clip itself, or one of its rungs at another size or rate."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.dataset.records import RungRow


@dataclass(frozen=True)
class Encoding:
    """A stored encoding of a clip: its rung, None for the clip itself; its size in pixels, frames a second,
    and number of frames."""

    rung: str | None
    height: int
    width: int
    fps: float
    frames: int

    @classmethod
    def of(cls, rung: RungRow) -> "Encoding":
        """That of a rung."""
        return cls(rung["rung"], rung["height"], rung["width"], rung["fps"], rung["frames"])


def encoding_for(encodings: Sequence[Encoding], size: tuple[int, int]) -> Encoding:
    """The smallest of ``encodings`` that covers ``size``, (height, width), in both sides; if none does, the
    largest. Of equally large ones that with the fewest frames a second, then the first."""
    covering = [each for each in encodings if each.height >= size[0] and each.width >= size[1]]
    if covering:
        return min(covering, key=lambda each: (each.height * each.width, each.fps))
    return min(encodings, key=lambda each: (-each.height * each.width, each.fps))
