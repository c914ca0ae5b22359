"""The JSON file by which something made exists: put in place last, with a digest of what it tells."""

import json
from collections.abc import Callable
from typing import Any

from core.errors import AnimaticError
from core.storage import Folder


def read_description(
    folder: Folder, name: str, *, version: int, digest: Callable[[dict[str, Any]], str], mend: str
) -> dict[str, Any]:
    """Content of the file, of format ``version``; ``mend`` says what to do about a damaged one.

    Raises FileNotFoundError if it is not there, AnimaticError if it is damaged or of another version.
    """
    try:
        info: Any = json.loads(folder.read(name))
    except ValueError as error:
        raise AnimaticError(f"{folder}/{name} is not JSON ({error}); {mend}") from error
    found = info.get("format") if isinstance(info, dict) else None
    if found != version:
        raise AnimaticError(f"{folder}/{name} is of format {found}; this version reads {version}: {mend}")
    try:
        altered = info.get("digest") != digest(info)
    except (KeyError, TypeError):
        altered = True  # not even what is digested is there
    if altered:
        raise AnimaticError(f"{folder}/{name} was altered: its digest does not fit; {mend}")
    return dict(info)
