"""The digest that identifies a set of installed packages."""

import hashlib
from collections.abc import Mapping


def lock_digest(packages: Mapping[str, str]) -> str:
    """sha256 of the sorted lines ``name==version``, each with its newline."""
    lines = sorted(f"{name}=={version}\n" for name, version in packages.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
