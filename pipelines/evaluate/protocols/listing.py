"""The videos of a public dataset, in the layout in which its users have it: what a reader finds before any
file is opened."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import AnimaticError

VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"})
PublicDataset = Literal["ucf101", "msrvtt"]


@dataclass(frozen=True)
class ListedVideo:
    """One video that a split lists.

    Attributes:
        key: names its clip; unique, and safe as a file name.
        caption: its prompt.
        source: the recording that it was cut from: clips of one source are not independent.
        path: its file; None if there is none.
    """

    key: str
    caption: str
    source: str
    path: Path | None


@dataclass(frozen=True)
class Listing:
    """The videos of a split, by key; ``prompts`` states how their prompts were made."""

    dataset: PublicDataset
    split: str
    prompts: str
    videos: list[ListedVideo]


def videos_below(folder: Path) -> dict[str, Path]:
    """Video files anywhere below a folder, by name without suffix.

    Raises AnimaticError if there are none, or if two have one name.
    """
    found: dict[str, Path] = {}
    for path in _files_below(folder):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            other = found.setdefault(path.stem, path)
            if other != path:
                raise AnimaticError(f"{other} and {path} are both {path.stem}: remove one of them")
    if not found:
        raise AnimaticError(f"{folder} contains no videos ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def find_file(folder: Path, name: str) -> Path | None:
    """The file of this name in a folder, or up to two levels below it; None if there is none.

    Raises AnimaticError if there are several on one level.
    """
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            raise AnimaticError(f"{found[0]} and {found[1]} are both {name}: remove one of them")
        if found:
            return found[0]
    return None


def require_unique(keys: list[str], listed_in: Path) -> None:
    """Raise AnimaticError if a video is listed twice."""
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise AnimaticError(f"{listed_in} lists {key} twice: remove one of the lines")
        seen.add(key)


def _files_below(folder: Path) -> Iterator[Path]:
    """Files in order of their paths; links to folders are followed, each folder once."""
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        resolved = os.path.realpath(parent)
        if resolved in visited:
            folders.clear()
            continue
        visited.add(resolved)
        folders.sort()
        yield from (Path(parent, name) for name in sorted(files))
