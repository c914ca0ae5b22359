"""Names of files in folders and archives: which are videos, which describe one, and what is unsafe."""

import re
from pathlib import PurePosixPath

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".webm",
        ".mkv",
        ".avi",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ogv",
        ".3gp",
        ".ts",
        ".m2ts",
        ".gif",
    ]
)
SIDECAR_SUFFIXES = (".txt", ".json", ".srt", ".vtt")  # those before others are preferred
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FLAT_CLASS = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")  # UCF-101's files outside their folders
# Folders that group files, and describe none.
_GROUPS = frozenset(
    [
        "videos",
        "video",
        "clips",
        "data",
        "train",
        "val",
        "valid",
        "validation",
        "test",
        "eval",
        "all",
        "mp4",
        "raw",
    ]
)


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot."""
    return PurePosixPath(name).suffix.lower()


def stem_of(name: str) -> str:
    """The name without its last suffix."""
    return name[: len(name) - len(PurePosixPath(name).suffix)]


def shard_key(name: str) -> str:
    """The WebDataset key of a member: all before the first dot of its last part."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base[:1] + base[1:].partition(".")[0]


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its name."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(name: str) -> str:
    """The name of an archive without its suffix."""
    suffix = max((s for s in ARCHIVE_SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)]


def is_ignored(name: str) -> bool:
    """Whether a name is one of those that systems add: hidden, or of macOS."""
    parts = (part for part in name.split("/") if part not in (".", ".."))
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def plain_name(name: str) -> str:
    """A member's name without ``./`` before it. Raises ValueError for one that is no path within a folder."""
    while name.startswith("./"):
        name = name[2:]
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise ValueError("its name leaves the folder")
    if "" in parts or "." in parts:
        raise ValueError("its name is no plain path")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8") from None
    return name


def class_caption(name: str) -> str:
    """The caption that a video's folder means: ``ApplyEyeMakeup/a.avi`` → apply eye makeup; empty if none."""
    path = PurePosixPath(name)
    flat = _FLAT_CLASS.fullmatch(path.stem)
    label = flat[1] if flat else path.parent.name
    if label.lower() in _GROUPS:
        return ""
    words = _WORD.findall(label) if label.isascii() else label.replace("_", " ").split()
    return " ".join(words).lower() if any(word[0].isalpha() for word in words) else ""
