"""The formats in which the model of an export can be there besides the bundle itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.config.keys import nearest
from core.errors import AnimaticError
from orchestration.export.records import BUNDLE

if TYPE_CHECKING:
    from orchestration.export.contents import Subject

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        check: raises AnimaticError for a bundle that cannot have it, naming the part; reads no weights.
        write: writes it into a folder that does not exist yet.
    """

    check: Callable[[Subject], None]
    write: Callable[[Subject, Path], None]


def formats_of(names: Sequence[str]) -> tuple[str, ...]:
    """The formats of an export: those named, each once and in a fixed order, and ``bundle``.

    Raises:
        AnimaticError: a name is none.
    """
    known = (BUNDLE, *FORMATS)
    for name in names:
        if name not in known:
            raise AnimaticError(f"--format {name} does not exist{nearest(name, known)}")
    return tuple(name for name in known if name in (BUNDLE, *names))


def _check_dynamicrafter(subject: Subject) -> None:
    from models import checkpoints

    checkpoints.check_exportable(subject.bundle, codec=_text(subject.codec), encoders=_text(subject.encoders))


def _write_dynamicrafter(subject: Subject, folder: Path) -> None:
    from models import checkpoints

    codec, encoders = _text(subject.codec), _text(subject.encoders)
    checkpoints.export_checkpoint(subject.bundle, folder / WEIGHTS, codec=codec, encoders=encoders)


def _check_diffusers(subject: Subject) -> None:
    from models import checkpoints

    checkpoints.check_diffusers(subject.bundle, codec=_text(subject.codec), encoders=_text(subject.encoders))


def _write_diffusers(subject: Subject, folder: Path) -> None:
    from models import checkpoints

    codec, encoders = _text(subject.codec), _text(subject.encoders)
    checkpoints.export_diffusers(subject.bundle, folder, codec=codec, encoders=encoders)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


FORMATS = {
    "dynamicrafter": Format(_check_dynamicrafter, _write_dynamicrafter),
    "diffusers": Format(_check_diffusers, _write_diffusers),
}
