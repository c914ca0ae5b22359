"""Places as users write them: local paths and URLs."""

import re
from pathlib import Path

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def absolute(place: str) -> str:
    """A local path made absolute, since Ray workers have their own working directory; URLs are."""
    return place if SCHEME.match(place) else str(Path(place).expanduser().absolute())
