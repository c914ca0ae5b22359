"""Versions and code of this process, and whether it can read the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Sequence
from pathlib import Path

from pipelines.cluster.probe.facts import Software

_PACKAGES = ("core", "models", "pipelines", "training", "orchestration")
_CODE_SUFFIXES = {".py", ".yaml"}


def software_here(libraries: Sequence[str]) -> Software:
    """What this process would run, nothing of which is imported."""
    versions = {library: _version(library) for library in libraries}
    return Software(platform.python_version(), versions, _code_here())


def read_store(url: str) -> str | None:
    """Why this process cannot read a dataset, a folder or a file; None if it can."""
    try:
        from core.errors import AnimaticError
        from core.storage import Folder
    except ImportError as error:
        return f"animatic is not installed ({error})"
    try:
        if Folder(url).names() or _is_file(url):
            return None
    except (AnimaticError, NotADirectoryError) as error:
        return str(error)
    return "nothing is there"


def code_digest(packages: Sequence[Path]) -> str:
    """Sha256 of the names and contents of all modules and presets in the folders of packages."""
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted(file for file in package.rglob("*") if file.suffix in _CODE_SUFFIXES):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{package.name}/{file.relative_to(package).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _is_file(url: str) -> bool:
    from core.storage import Folder

    parent, slash, name = url.rpartition("/")
    if not name or parent.endswith("/"):  # a folder, or a bucket
        return False
    return Folder(parent or slash or ".").exists(name)


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _code_here() -> str | None:
    """None where one of animatic's packages is missing."""
    found = [importlib.util.find_spec(package) for package in _PACKAGES]
    origins = [Path(spec.origin) for spec in found if spec is not None and spec.origin]
    return code_digest([origin.parent for origin in origins]) if len(origins) == len(found) else None
