"""Which checkpoints stay: the newest ones, and those of steps at a regular distance."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.files import sync
from training.checkpoints.manifest import MANIFEST


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay when another one has been saved.

    Attributes:
        newest: the number of newest ones that stay.
        every: those of steps divisible by it stay for good; None for none.
    """

    newest: int
    every: int | None = None

    def keeps_for_good(self, step: int) -> bool:
        """Whether the checkpoint of a step is kept however many newer ones follow."""
        return self.every is not None and step % self.every == 0

    def superfluous(self, steps: Sequence[int]) -> list[int]:
        """Indexes of the checkpoints to delete, oldest first.

        Args:
            steps: of all usable checkpoints, oldest first; of several of one step the last one counts.
        """
        current = {step: index for index, step in enumerate(steps)}
        kept = set(sorted(current)[-self.newest :]) | {step for step in current if self.keeps_for_good(step)}
        return [index for index, step in enumerate(steps) if step not in kept or current[step] != index]


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint; without its manifest it no longer exists even if the deletion is interrupted."""
    if path.exists():
        (path / MANIFEST).unlink(missing_ok=True)
        sync(path)
        shutil.rmtree(path)
