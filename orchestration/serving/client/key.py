"""The API key of a client: from a file or the environment, so that no list of processes has it."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import AnimaticError

KEY_VARIABLE = "ANIMATIC_API_KEY"
_LONGEST = 4096


def read_key(file: Path | None) -> str | None:
    """The key in a file, or else of the environment; None where neither has one.

    Raises:
        AnimaticError: the file cannot be read, or it or the variable is no key.
    """
    if file is None:
        value = os.environ.get(KEY_VARIABLE, "")
        return _checked(value, KEY_VARIABLE) if value else None
    try:
        with file.open("rb") as content:
            text = content.read(_LONGEST + 1).decode()
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a zero byte in the path
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise AnimaticError(f"--api-key-file {file}: {reason}; name a file with the key in it") from error
    return _checked(text, f"--api-key-file {file}")


def _checked(text: str, where: str) -> str:
    key = text.strip()
    if key.startswith("{"):
        raise AnimaticError(
            f"{where} is a service's file of keys, which has only their digests: name a file with the key "
            "that `animatic api-key create` printed"
        )
    if not key or len(key) > _LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        raise AnimaticError(f"{where} is no API key: it has to be the one word that `api-key create` printed")
    return key
