"""Which checkpoints stay: the newest ones, and those of steps at a regular distance."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.files import sync
from training.checkpoints.manifest import MANIFEST, find_damage
from training.checkpoints.names import complete_checkpoints, step_of


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


def old_checkpoints(
    root: Path, saved: Path, retention: Retention, held: Collection[Path], damaged: Collection[Path]
) -> list[Path]:
    """Checkpoints to delete now that another one was saved; none where files of that one are missing.

    Before the last other one goes that can be resumed from, the digests of the new one are compared too,
    although they were computed as it was written.

    Args:
        held: what something else still reads; stays for now.
        damaged: what is known to be damaged by its digests.
    """
    complete = complete_checkpoints(root)
    usable = [path for path in complete if path not in damaged and find_damage(path, digests=False) is None]
    if saved not in usable:
        return []
    superfluous = {usable[index] for index in retention.superfluous([step_of(path) for path in usable])}
    kept = (set(usable) - superfluous) | {saved, *held}
    old = [path for path in complete if path not in kept]
    if old and kept == {saved} and find_damage(saved) is not None:
        return []
    return old


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint; without its manifest it no longer exists even if the deletion is interrupted."""
    if path.exists():
        (path / MANIFEST).unlink(missing_ok=True)
        sync(path)
        shutil.rmtree(path)
