"""Which files a signature covers, and that a bundle's folder contains no others."""

from __future__ import annotations

from pathlib import Path

from core.errors import AnimaticError
from models.bundle import CARD, INFO, SIGNATURE, WEIGHTS, Bundle

SIGNED = frozenset((INFO, WEIGHTS, CARD))


def check_only_signed(folder: Path) -> None:
    """Refuse a folder that contains anything but the files of a bundle and its signature, or links to them.

    Raises:
        AnimaticError: the message has the first such name.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            raise AnimaticError(f"{entry} is a symbolic link: a signed bundle consists of files; copy them")
        if entry.name not in SIGNED | {SIGNATURE}:
            raise AnimaticError(
                f"{entry} is not part of a bundle, so no signature covers it: remove it from the folder"
            )


def digests(bundle: Bundle) -> dict[str, str]:
    """Name -> sha256 of the signed files of a bundle, as opening it has verified them."""
    return {INFO: bundle.id, **bundle.info.files}
