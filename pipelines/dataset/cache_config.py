"""Where a node keeps local copies of shards and tables: a setting, read without the libraries that use it."""

import os
from pathlib import Path

from pydantic import Field

from core.config.section import Section


class CacheConfig(Section):
    """Where a node keeps shards that it fetched, and what it knows of shards on its own disks."""

    folder: str | None = Field(
        None, description="on a local disk; null: $ANIMATIC_CACHE, or animatic in the user's cache folder"
    )
    gigabytes: float = Field(100.0, gt=0, description="most that fetched shards may fill")

    @property
    def path(self) -> Path:
        """The folder."""
        user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        named = self.folder or os.environ.get("ANIMATIC_CACHE") or f"{user}/animatic"
        return Path(named).expanduser()
