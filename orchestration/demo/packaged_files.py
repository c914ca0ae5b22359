"""Files that installed packages carry, found without importing them."""

import importlib.metadata
from pathlib import Path

from core.errors import AnimaticError


def packaged_file(package: str, name: str) -> Path:
    """The file called ``name`` of a package.

    Raises AnimaticError where it is not installed.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == name and path.is_file():
            return path
    raise AnimaticError(f"{name} of the package {package} is not installed: run `make setup`")
