"""Where a node keeps local copies of shards and tables: a setting, read without the libraries that use it."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class CacheConfig(BaseModel):
    """Where a node keeps shards that it fetched, and what it knows of shards on its own disks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
