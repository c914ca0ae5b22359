"""The stacks of a process: written while its main thread is stuck, also in C, and read elsewhere."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import sysconfig
from pathlib import Path

from training.heartbeats.record import Frame

# As faulthandler writes them; names are shortened by it after 500 characters.
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
# Frames inside of these wait for other processes.
_COLLECTIVES = ("torch/distributed/", "deepspeed/comm/")
_INNERMOST = 12
_LIBRARIES = ("/site-packages/", "/dist-packages/", f"{sysconfig.get_path('stdlib')}/", "/lib/python3.")


def write_stacks(path: Path) -> None:
    """Write the stacks of all threads of this process, the innermost frames first; replaces the file.

    Needs neither the main thread nor a signal. Raises OSError.
    """
    partial = path.with_name(f".{path.name}~")
    with partial.open("w") as file:
        faulthandler.dump_traceback(file, all_threads=True)
    partial.replace(path)


def append_stacks(path: Path, heading: str) -> None:
    """Add the stacks of all threads of this process to a log. Raises OSError."""
    with path.open("a") as file:
        file.write(f"{heading}\n")
        file.flush()
        faulthandler.dump_traceback(file, all_threads=True)


def read_frames(path: Path, thread: int) -> tuple[Frame, ...]:
    """The frames of a thread in a file of stacks, the innermost first; none without the file or thread."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    found: list[Frame] = []
    inside = False
    for line in lines:
        begin = _THREAD.match(line)
        if begin is not None:
            inside = int(begin[1], 16) == thread
        match = _FRAME.match(line) if inside else None
        if match is not None:
            is_library = any(part in match[1] for part in _LIBRARIES)
            found.append(Frame(_short(match[1]), int(match[2]), match[3], is_library))
    return tuple(found)


def is_waiting_for_others(frames: tuple[Frame, ...]) -> bool:
    """Whether a thread is inside of a collective operation."""
    return any(part in frame.file for frame in frames[:_INNERMOST] for part in _COLLECTIVES)


def place_of(frames: tuple[Frame, ...]) -> str:
    """Where a thread is: the innermost frame, and the innermost one outside of libraries."""
    if not frames:
        return ""
    own = next((frame for frame in frames if not frame.is_library), frames[0])
    return f"in {frames[0]}" if own is frames[0] else f"in {frames[0]}, from {own}"


def _short(file: str) -> str:
    """A path from the folder on that Python imports it from."""
    roots = sorted((root for root in map(os.path.abspath, sys.path) if root != "/"), key=len, reverse=True)
    for root in roots:
        if file.startswith(root + os.sep):
            return os.path.relpath(file, root)
    for mark in ("/site-packages/", "/lib/python3."):
        _, found, rest = file.rpartition(mark)
        if found:
            return rest.partition("/")[2] if mark.endswith(".") else rest
    return file
