"""Which launch of a run writes to its folder in a store: of several, on whatever machines, the newest one.

Fencing tokens are files of one file system (see ``core.fencing``). Machines that share a store alone take
their numbers there: an object that exactly one of them can create. The launch has the same number in both.
"""

import os
import socket
import time

from pydantic import BaseModel, ConfigDict, ValidationError

from core.fencing import SupersededError
from training.upload.folder import RemoteFolder

_FOLDER, _SUFFIX = "writers", ".json"


class Writer(BaseModel):
    """Content of an object; ``launcher`` identifies what started the run."""

    model_config = ConfigDict(frozen=True)

    launcher: str
    host: str
    pid: int
    time: float

    @classmethod
    def here(cls, launcher: str) -> "Writer":
        """This process, now."""
        return cls(launcher=launcher, host=socket.gethostname(), pid=os.getpid(), time=time.time())


class Writers:
    """The launches that have written to the folder. All methods raise StoreError as the folder does."""

    def __init__(self, remote: RemoteFolder) -> None:
        self._remote = remote

    def highest(self) -> int:
        """The number of the newest launch; 0 without one."""
        names = (name.partition(_SUFFIX)[0] for name in self._remote.list(_FOLDER))
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def read(self, number: int) -> Writer | None:
        """Who has a number; None where its object is missing or damaged."""
        try:
            return Writer.model_validate_json(self._remote.read(_name(number)))
        except (FileNotFoundError, ValidationError):
            return None

    def register(self, number: int, launcher: str) -> bool:
        """Take a number; False where another launch has it."""
        writer = Writer.here(launcher)
        try:
            self._remote.create(_name(number), writer.model_dump_json().encode())
        except FileExistsError:
            return False
        # Of two that a store without conditional writes let through, the one that it kept.
        return self.read(number) == writer

    def check(self, number: int) -> None:
        """Raise SupersededError, which names the later launch, where a higher number is taken."""
        highest = self.highest()
        if highest > number:
            writer = self.read(highest)
            by = f"process {writer.pid} on {writer.host}" if writer else "another machine"
            raise SupersededError(f"{self._remote} was taken over by launch {highest} ({by})")


def _name(number: int) -> str:
    return f"{_FOLDER}/{number:08d}{_SUFFIX}"
