"""A record of the calls that decide what a crash leaves of files: fsync, rename and removal."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


class CrashError(BaseException):
    """The machine stops: nothing that follows reaches the disk."""


@dataclass
class RecordedFiles:
    """The calls below a folder, in order, with paths relative to it.

    Attributes:
        calls: as "sync a", "rename a -> b" and "remove a"; random parts of names are left out.
        unsynced: renames of files whose content was not on disk, and of folders with such files.
        crash_at: the number of the rename or removal that is not done, because the machine stops.
    """

    root: Path
    crash_at: int | None = None
    calls: list[str] = field(default_factory=list)
    unsynced: list[str] = field(default_factory=list)
    changes: int = 0
    _synced: dict[int, str] = field(default_factory=dict)
    _crashed: bool = False

    @property
    def undurable(self) -> list[str]:
        """Renames and removals whose folder was not synced before the next one or the end."""
        found = []
        for number, call in enumerate(self.calls):
            kind, _, rest = call.partition(" ")
            if kind == "sync":
                continue
            folder = str(Path(rest.rpartition("-> ")[2]).parent)
            following = self.calls[number + 1 :]
            until = next((n for n, c in enumerate(following) if not c.startswith("sync ")), len(following))
            if f"sync {folder}" not in following[:until]:
                found.append(call)
        return found

    def sync(self, descriptor: int) -> None:
        """Called for os.fsync."""
        path = _path_of(descriptor)
        self._synced[path.stat().st_ino] = _digest(path)
        self._note("sync", path)

    def rename(self, source: Path, target: Path) -> None:
        """Called before os.replace and os.rename."""
        self._change()
        inner = [source, *source.rglob("*")] if source.is_dir() else [source]
        if any(self._synced.get(path.stat().st_ino) != _digest(path) for path in inner):
            self.unsynced.append(self._name(source))
        self._note("rename", source, target)

    def remove(self, path: Path) -> None:
        """Called before os.unlink and os.remove."""
        if path.exists() or self._crashed:
            self._change()
            self._note("remove", path)

    def concerns(self, path: Path) -> bool:
        """Whether a path is below the folder and not a lock."""
        return path.is_relative_to(self.root) and not path.name.endswith(".lock")

    def _change(self) -> None:
        self._crashed = self._crashed or self.changes == self.crash_at
        if self._crashed:
            raise CrashError
        self.changes += 1

    def _note(self, kind: str, *paths: Path) -> None:
        self.calls.append(f"{kind} {' -> '.join(map(self._name, paths))}")

    def _name(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return re.sub(r"\.?([^/]*)\.part-[0-9a-f]{8}(\.\w+)?", r"\1.part", name)


@contextlib.contextmanager
def recorded_files(root: Path, crash_at: int | None = None) -> Iterator[RecordedFiles]:
    """Record the calls of this process below ``root``."""
    record = RecordedFiles(root.resolve(), crash_at)

    def watch(call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def watched(path: Any, *arguments: Any, **options: Any) -> Any:
            # With dir_fd, as shutil.rmtree passes it, the path is a name in that folder.
            base = Path.cwd() if options.get("dir_fd") is None else _path_of(options["dir_fd"])
            paths = [base / value for value in (path, *arguments)]
            if record.concerns(paths[0]):
                note(*paths)
            return call(path, *arguments, **options)

        return watched

    fsync = os.fsync

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        path = _path_of(descriptor)
        if record.concerns(path) or path == record.root:
            record.sync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        for name in ("replace", "rename"):
            patch.setattr(os, name, watch(getattr(os, name), record.rename))
        for name in ("unlink", "remove"):
            patch.setattr(os, name, watch(getattr(os, name), record.remove))
        yield record


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _digest(path: Path) -> str:
    """Of a file's content, or of the names in a folder."""
    if path.is_dir():
        return repr(sorted(inner.name for inner in path.iterdir()))
    return hashlib.sha256(path.read_bytes()).hexdigest()
