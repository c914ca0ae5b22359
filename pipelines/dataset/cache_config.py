"""Where a node keeps local copies of shards and tables: a setting, read without the libraries that use it."""

import os
import tempfile
from pathlib import Path

from pydantic import Field

from core.config.section import Section


class CacheConfig(Section):
    """Where a node keeps shards that it fetched, and what it knows of shards on its own disks."""

    folder: str | None = Field(
        None, description="on a local disk; null: $ANIMATIC_CACHE, or animatic in the user's cache folder"
    )
    gigabytes: float = Field(100.0, gt=0, description="most that fetched shards may fill")
    patience_s: float = Field(
        600.0, ge=0, description="seconds of pauses in which a store that does not answer is tried again"
    )

    @property
    def path(self) -> Path:
        """The folder; below the temporary folder where the user has no home."""
        user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        named = self.folder or os.environ.get("ANIMATIC_CACHE") or f"{user}/animatic"
        try:
            return Path(named).expanduser()
        except RuntimeError:  # a user id without a home
            return Path(tempfile.gettempdir()) / f"animatic-{os.getuid()}"
