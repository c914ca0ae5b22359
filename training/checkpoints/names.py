"""Names of the folders of checkpoints: by step, and never of two at once.

``step-00000040``, and ``step-00000040-3.1`` where the attempt 3.1 of the run finds that name taken, by a
damaged checkpoint or one of an attempt that it replaces: what another process has written is never replaced.
An attempt saves only steps after that of the checkpoint it resumed from. So a name is used again only where
the run went back, or later checkpoints were damaged, once their folders were deleted.
"""

import re
from pathlib import Path

from core.fencing import Number

_PARTIAL = ".partial"
_NAME = re.compile(r"step-(\d+)(?:-(\d+\.\d+))?")


def plain_name(step: int) -> str:
    """The name of a checkpoint."""
    return f"step-{step:08d}"


def own_name(step: int, number: Number) -> str:
    """Its name where the plain one is taken: no other attempt uses it."""
    return f"{plain_name(step)}-{number}"


def partial_name(step: int, number: Number | None) -> str:
    """Of the temporary folder in which an attempt writes a checkpoint."""
    return (plain_name(step) if number is None else own_name(step, number)) + _PARTIAL


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    return _age(path)[0]


def complete_checkpoints(root: Path) -> list[Path]:
    """Folders of checkpoints that were moved into place, damaged ones included, oldest first."""
    return sorted((path for path in root.glob("step-*") if _NAME.fullmatch(path.name)), key=_age)


def partial_checkpoints(root: Path) -> list[Path]:
    """Folders of checkpoints that are being written, or were not finished."""
    return list(root.glob(f"step-*{_PARTIAL}"))


def _age(path: Path) -> tuple[int, Number]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not named as a checkpoint")
    return int(match[1]), (Number.parse(match[2]) if match[2] else None) or Number(0, 0)
