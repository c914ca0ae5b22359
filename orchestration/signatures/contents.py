"""Which files a signature covers, and that a bundle's folder contains no others."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import ADAPTER, CARD, INFO, SIGNATURE, WEIGHTS, Bundle

# The files of a bundle, with whole weights or with an adapter.
SIGNED = (frozenset((INFO, WEIGHTS, CARD)), frozenset((INFO, ADAPTER, CARD)))


def check_only_signed(folder: Path, signed: Collection[str]) -> None:
    """Refuse a folder that contains anything but the files of a bundle and its signature, or links to them.

    Args:
        signed: names of the bundle's files.

    Raises:
        AnimaticError: the message has the first such name.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            raise AnimaticError(f"{entry} is a symbolic link: a signed bundle consists of files; copy them")
        if entry.name != SIGNATURE and entry.name not in signed:
            raise AnimaticError(
                f"{entry} is not part of a bundle, so no signature covers it: remove it from the folder"
            )


def digests(bundle: Bundle) -> dict[str, str]:
    """Name -> sha256 of the signed files of a bundle, as opening it has verified them."""
    return {INFO: bundle.id, **bundle.info.files}
