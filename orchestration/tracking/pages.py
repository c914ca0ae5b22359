"""Pages as single files, as trackers display them."""

from __future__ import annotations

import base64
import mimetypes
import re
from pathlib import Path

_REFERENCE = re.compile(r'\b(src|poster)="([^":?#]+)"')


def self_contained(page: Path) -> str:
    """The page with the pictures and clips beside it inside: trackers resolve no relative paths.

    What does not exist stays as it is.
    """

    def inside(found: re.Match[str]) -> str:
        path = page.parent / found[2]
        kind = mimetypes.guess_type(path.name)[0]
        if kind is None or not path.is_file() or not path.resolve().is_relative_to(page.parent.resolve()):
            return found[0]
        return f'{found[1]}="data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"'

    return _REFERENCE.sub(inside, page.read_text(encoding="utf-8"))
