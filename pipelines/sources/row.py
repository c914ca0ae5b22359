"""One row of a source table: its id, caption, and where its video may lie."""

import hashlib
import re
from dataclasses import dataclass

from pydantic import Field

from core.config.section import Section
from core.errors import RejectedError
from core.urls import is_url, join_inside

KEY_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Why a row is turned away for what stands in the table; no second try at its video can mend that.
TABLE_REASONS = frozenset({"malformed_row", "filtered", "no_id", "duplicate_id", "no_caption"})


class ColumnNames(Section):
    """The table's names for WebVid's columns."""

    videoid: str = Field("videoid", description="column of the unique id of a row")
    name: str = Field("name", description="column of the caption")
    page_dir: str = Field("page_dir", description="column of the folder below videos")
    contentUrl: str = Field("contentUrl", description="column of the video's URL")


WEBVID = ColumnNames()


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the table: its number from 0, its columns, and what is wrong with it, if anything."""

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
        """Stable, unique start of the keys of this row's samples: the id itself where a tar can carry it."""
        if KEY_LIKE.fullmatch(self.source_id):
            return self.source_id
        return "_" + hashlib.sha256(self.source_id.encode()).hexdigest()[:32]

    def candidates(self, videos: str | None) -> list[str]:
        """Where the video may lie, best first: ``videos``/page_dir/videoid.mp4, then contentUrl.

        A relative contentUrl is taken from ``videos``. Raises RejectedError (unsafe_path, missing_file).
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
