"""One row of a source table: its id, its caption, and the possible locations of its video."""

import hashlib
import re
from dataclasses import dataclass

from pydantic import Field

from core.config.section import Section
from core.errors import RejectedError
from core.urls import is_url, join_inside

# Reasons to reject a row for what the table says: another attempt at its video cannot succeed.
TABLE_REASONS = frozenset({"malformed_row", "filtered", "no_id", "duplicate_id", "no_caption"})

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class ColumnNames(Section):
    """The table's names for WebVid's columns."""

    videoid: str = Field("videoid", description="column of the unique id of a row")
    name: str = Field("name", description="column of the caption")
    page_dir: str = Field("page_dir", description="column of the folder below videos")
    contentUrl: str = Field("contentUrl", description="column of the video's URL")


WEBVID = ColumnNames()


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the table.

    Attributes:
        row: its number, from 0.
        record: its cells by column.
        problem: one of TABLE_REASONS, or None for a good row.
        columns: the table's names for WebVid's columns.
    """

    row: int
    record: dict[str, str]
    problem: str | None = None
    columns: ColumnNames = WEBVID

    @property
    def source_id(self) -> str:
        """The videoid column."""
        return self.record.get(self.columns.videoid, "")

    @property
    def caption(self) -> str:
        """The name column, without surrounding blanks."""
        return self.record.get(self.columns.name, "").strip()

    @property
    def key(self) -> str:
        """Stable, unique prefix of the keys of this row's samples: the id, or its hash if it suits no tar."""
        if _KEY.fullmatch(self.source_id):
            return self.source_id
        return "_" + hashlib.sha256(self.source_id.encode()).hexdigest()[:32]

    def candidates(self, videos: str | None) -> list[str]:
        """Possible locations of the video, in order: ``videos``/page_dir/videoid.mp4, then contentUrl.

        A relative contentUrl is relative to ``videos``. Raises RejectedError (unsafe_path, missing_file).
        """
        locations = []
        page_dir = self.record.get(self.columns.page_dir, "")
        url = self.record.get(self.columns.contentUrl, "").strip()
        if videos is not None:
            if "/" in self.source_id:
                raise RejectedError("unsafe_path", self.source_id[:200])
            locations.append(_inside(videos, page_dir, f"{self.source_id}.mp4"))
        if is_url(url) or url.startswith("/"):
            locations.append(url)
        elif url and videos is not None:
            locations.append(_inside(videos, url))
        if not locations:
            raise RejectedError("missing_file", "no contentUrl and no folder of videos")
        return locations


def _inside(root: str, *parts: str) -> str:
    try:
        return join_inside(root, *parts)
    except ValueError as error:
        raise RejectedError("unsafe_path", str(error)[:200]) from error
