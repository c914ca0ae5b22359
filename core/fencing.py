"""Fencing tokens: of the writers of a folder, on whatever machines, only the newest one goes on.

A lock is reliable between processes of one machine. Between machines it is not: a job is started again
elsewhere while its predecessor is cut off, paused, or about to end. So each writer takes a number, a file
that exactly one process can create, and before it commits anything it looks for a higher one. Where it finds
one, it writes nothing more.

Numbers are pairs: of the launch, and of the start within the launch. A launch that restarts its processes
takes a higher start, which fences off those that it replaces, but never overtakes a later launch.
"""

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import AnimaticError
from core.files import create_folder, sync

_PROBE = ".probe-"


class SupersededError(AnimaticError):
    """A later writer has taken over the folder: nothing more may be written to it."""


@dataclass(frozen=True, order=True)
class Number:
    """A fencing token: a later launch is higher than any start of an earlier one."""

    launch: int
    start: int

    def __str__(self) -> str:
        return f"{self.launch}.{self.start}"

    @classmethod
    def parse(cls, text: str) -> "Number | None":
        """The number that ``text`` names; None where it names none."""
        launch, dot, start = text.partition(".")
        return cls(int(launch), int(start)) if dot and launch.isdecimal() and start.isdecimal() else None


class _Holder(BaseModel):
    """Content of a token's file; ``launcher`` identifies what started the process."""

    model_config = ConfigDict(frozen=True)

    launcher: str
    host: str
    pid: int
    time: float

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host}, started {at}"


class Token:
    """The number that a writer holds in the ``folder`` of tokens, and whether it still is the highest."""

    def __init__(self, folder: Path, number: Number) -> None:
        """For a number that was taken with :func:`register_launch` or :func:`take_token`, in any process."""
        self._folder, self.number = folder, number
        self._superseded = False

    def holds(self) -> bool:
        """Whether no higher number is taken; False for good once one was. Raises OSError."""
        self._superseded = self._superseded or _highest(self._folder) > self.number
        return not self._superseded

    def check(self) -> None:
        """Raise SupersededError, which names the later writer, where a higher number is taken, or OSError."""
        if not self.holds():
            raise superseded_by(self._folder, _highest(self._folder))


def registered_launch(folder: Path, launcher: str) -> int | None:
    """The number of the launch that ``launcher`` identifies; None where it has none yet. Raises OSError."""
    for number in sorted(_numbers(folder)) if folder.is_dir() else ():
        if number.start == 0 and launcher_of(folder, number.launch) == launcher:
            return number.launch
    return None


def launcher_of(folder: Path, launch: int) -> str | None:
    """What a launch was registered by; None where it was not, or its file is damaged."""
    holder = _holder(folder, Number(launch, 0))
    return holder.launcher if holder is not None else None


def highest_launch(folder: Path) -> int:
    """The number of the newest launch; 0 without one. Raises OSError."""
    return _highest(folder).launch if folder.is_dir() else 0


def register_launch(folder: Path, launcher: str, at_least: int = 1) -> int:
    """The number of the launch that ``launcher`` identifies, the highest one where it has none yet.

    ``folder``, of the tokens, is created if necessary. Raises OSError.

    Args:
        at_least: of a new number: what other writers have, which share no file system with this one.
    """
    create_folder(folder)
    known = registered_launch(folder, launcher)
    if known is not None:
        return known
    while True:
        number = Number(max(_highest(folder).launch + 1, at_least), 0)
        if _create(folder, number, launcher):
            return number.launch


def take_token(folder: Path, launch: int, launcher: str) -> Token:
    """A number of a launch that is higher than all of its earlier ones.

    Raises:
        SupersededError: where a later launch is registered.
        OSError: as the file system does.
    """
    while True:
        highest = _highest(folder)
        if highest.launch > launch:
            raise superseded_by(folder, highest)
        number = Number(launch, highest.start + 1)
        if _create(folder, number, launcher):
            token = Token(folder, number)
            token.check()
            return token


def superseded_by(folder: Path, number: Number) -> SupersededError:
    """The error of a writer that finds ``number`` taken."""
    holder = _holder(folder, number) or "another process"
    return SupersededError(
        f"{folder.parent} was taken over by attempt {number} ({holder}): this attempt stops and writes "
        "nothing more"
    )


@contextlib.contextmanager
def superseding(token: Token | None) -> Iterator[None]:
    """Raise SupersededError in place of an OSError that follows from a later writer's work.

    That one removes what it finds unfinished, and its folders are not replaced.
    """
    try:
        yield
    except OSError as error:
        if token is not None and not isinstance(error, AnimaticError):
            try:
                token.check()
            except SupersededError as superseded:
                raise superseded from error
        raise


def _create(folder: Path, number: Number, launcher: str) -> bool:
    """Take a number; False where another process has it.

    Only one process can create a file exclusively, on NFS too.
    """
    holder = _Holder(launcher=launcher, host=socket.gethostname(), pid=os.getpid(), time=time.time())
    try:
        with (folder / str(number)).open("x") as file:
            file.write(holder.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    sync(folder)
    return True


def _highest(folder: Path) -> Number:
    """The highest number that is taken, by any machine."""
    _refresh(folder)
    return max(_numbers(folder), default=Number(0, 0))


def _refresh(folder: Path) -> None:
    """Make a network file system list what other machines have created.

    It answers from a cache of some seconds or a minute, which a change of one's own to the folder ends.
    """
    probe = folder / f"{_PROBE}{uuid.uuid4().hex}"
    # A full disk is found by what is written.
    with contextlib.suppress(OSError):
        probe.touch(exist_ok=False)
        probe.unlink()


def _numbers(folder: Path) -> list[Number]:
    return [number for path in folder.iterdir() if (number := Number.parse(path.name)) is not None]


def _holder(folder: Path, number: Number) -> _Holder | None:
    """Who took a number; None where its file is not written yet, or damaged."""
    try:
        return _Holder.model_validate_json((folder / str(number)).read_bytes())
    except (OSError, ValidationError):
        return None
