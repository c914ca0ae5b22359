"""The code of this process as a zip file, from which a job runs on a cluster.

Of a git checkout, exactly the tracked files as they are on disk: nothing that is ignored or was not added,
which is where credentials, data and runs are, and nothing that a link leads to there. Without a checkout, the
files of the installed packages.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.canonical_json import digest_of
from core.code_version import CHECKOUT, code_version
from core.errors import AnimaticError

MOST_BYTES = 200_000_000  # Ray's head keeps packages in memory, and refuses those above 512 MiB
PACKAGES = ("core", "models", "orchestration", "pipelines", "training")
LOCK = "requirements.lock"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NAMED = 3


@dataclass(frozen=True)
class Code:
    """The files that a job runs from.

    Attributes:
        root: folder of the files.
        files: their paths relative to ``root``, sorted.
        size: in bytes, before compression.
        digest: sha256 over paths and contents.
        version: as bundles record it.
        left_out: Python files of a checkout that git neither tracks nor ignores; and links and submodules, of
            whose content it tracks none.
    """

    root: Path
    files: tuple[str, ...]
    size: int
    digest: str
    version: str
    left_out: tuple[str, ...] = ()

    @property
    def has_lock(self) -> bool:
        """Whether the versions of all dependencies are among the files."""
        return LOCK in self.files

    def write_zip(self, path: Path) -> None:
        """Write the files as a zip, whose bytes depend on nothing but them.

        Raises:
            AnimaticError: a file was deleted meanwhile.
        """
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name in self.files:
                file = self.root / name
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if os.access(file, os.X_OK) else 0o644) << 16
                archive.writestr(entry, _read(file))


def collect_code(root: Path = CHECKOUT) -> Code:
    """The files below ``root``: those that git tracks, or else those of the packages.

    Raises:
        AnimaticError: git cannot list them, or they are larger than ``MOST_BYTES``.
    """
    names, left_out = _tracked(root) if (root / ".git").exists() else (_of_packages(root), ())
    digests, sizes = {}, {}
    for name in names:
        content = _read(root / name)
        digests[name], sizes[name] = hashlib.sha256(content).hexdigest(), len(content)
    size = sum(sizes.values())
    if size > MOST_BYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
        named = ", ".join(f"{name} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
        raise AnimaticError(
            f"the {len(names)} files of the code in {root} have {size / 1e6:.0f} MB, but at most "
            f"{MOST_BYTES / 1e6:.0f} MB are sent to a cluster; the largest: {named}. Remove large files from "
            "git, and name data by path or URL"
        )
    return Code(root, tuple(names), size, digest_of(digests), code_version(root), left_out)


def _tracked(root: Path) -> tuple[list[str], tuple[str, ...]]:
    """The tracked files that exist; and what is tracked without content, and Python files that are not."""
    top = root.resolve()
    listed = {name: (top / name).resolve() for name in _git_files(root, "--cached") if (top / name).exists()}
    own = {path for name, path in listed.items() if path == top / name and path.is_file()}
    sent = sorted(name for name, path in listed.items() if path in own)
    others = _git_files(root, "--others", "--exclude-standard", "--", "*.py")
    return sent, (*others, *sorted(listed.keys() - sent))


def _git_files(root: Path, *options: str) -> list[str]:
    # Within a hook of another repository, these would name that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), "-c", f"safe.directory={root}", "ls-files", "-z", *options]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise AnimaticError(
            f"git is needed to list the files of the checkout {root}: install it ({error.strerror})"
        ) from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise AnimaticError(f"git cannot list the files of the checkout {root}: {reason}")
    return [_text(name, root) for name in done.stdout.split(b"\0") if name]


def _text(name: bytes, root: Path) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise AnimaticError(
            f"{name!r}, a file of the code in {root}, has no name in UTF-8: rename it"
        ) from error


def _of_packages(root: Path) -> list[str]:
    files = [file for package in PACKAGES for file in (root / package).rglob("*") if file.is_file()]
    return sorted(str(file.relative_to(root)) for file in files if "__pycache__" not in file.parts)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AnimaticError(f"{file}, a file of the code, cannot be read: {error.strerror}") from error


def names(files: Sequence[str]) -> str:
    """The first few, for a message."""
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(files[:_NAMED]) + more
