"""Marks of exports that are being written: small files that keep other processes from removing them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from core.host import host_identity, process_identity
from orchestration.export.copying import write
from orchestration.export.location import Location

_PREFIX = ".writing-"
# A mark that is older was left by a process that was killed: no export takes so long.
_LONGEST_EXPORT = timedelta(hours=24)


class Mark(BaseModel):
    """Which process writes an export, and since when; ``host`` and ``identity`` as of :mod:`core.host`."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime
    host: str
    process: int
    identity: str = ""

    @classmethod
    def of_this_process(cls) -> Mark:
        """That of an export that begins now."""
        process = os.getpid()
        return cls(
            time=datetime.now(UTC),
            host=host_identity(),
            process=process,
            identity=process_identity(process),
        )

    def is_left_over(self) -> bool:
        """Whether its process cannot be at work any more: it ended, or began too long ago elsewhere."""
        if self.host == host_identity():
            try:
                return process_identity(self.process) != self.identity
            except OSError:  # no such process
                return True
        return datetime.now(UTC) - self.time > _LONGEST_EXPORT


@contextmanager
def marked(location: Location, export: str) -> Iterator[None]:
    """Mark the export in a folder as being written; marks that killed processes left there are removed."""
    for name in _marks(location, export):
        if _is_left_over(location, name):
            _remove(location, name)
    own = f"{export}/{_PREFIX}{uuid.uuid4().hex[:8]}"
    write(location, own, Mark.of_this_process().model_dump_json().encode())
    try:
        yield
    finally:
        _remove(location, own)


def is_being_written(location: Location, export: str) -> bool:
    """Whether a process may be writing the export in a folder."""
    return not all(_is_left_over(location, name) for name in _marks(location, export))


def _marks(location: Location, export: str) -> list[str]:
    names = location.call(lambda: location.folder.names(export))
    return [f"{export}/{name}" for name in names if name.startswith(_PREFIX)]


def _remove(location: Location, name: str) -> None:
    location.call(lambda: location.folder.remove(name))


def _is_left_over(location: Location, name: str) -> bool:
    content = location.read(name)
    if content is None:
        return True
    try:
        return Mark.model_validate_json(content).is_left_over()
    except ValidationError:
        return False  # of a later version
