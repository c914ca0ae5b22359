"""Rows with the id of an earlier one: further captions of its video, or a second video of the same id.

Rows that mean different parts of a video have different identities.
"""

from dataclasses import dataclass

from pipelines.sources.row import SourceRow


@dataclass(frozen=True)
class _First:
    """The first good row of an id: the files that it names, and the captions of the id so far."""

    files: tuple[str, ...]
    captions: dict[str, None]


class RepeatedIds:
    """Judges rows whose ids may be repeated, in the order of the table. Memory: their ids and captions."""

    def __init__(self, *, require_caption: bool = True) -> None:
        """``require_caption``: whether the first good row of an id has one."""
        self._require_caption = require_caption
        self._first: dict[str, _First] = {}
        self._more: dict[str, list[str]] = {}

    def problem(self, row: SourceRow) -> str | None:
        """None for the first good row of an id, else further_caption, duplicate_id or no_caption."""
        captions, files = row.captions, _files(row)
        first = self._first.get(row.identity)
        if first is None:
            if not captions and self._require_caption:
                return "no_caption"
            self._first[row.identity] = _First(files, dict.fromkeys(captions))
            return None
        new = [caption for caption in captions if caption not in first.captions]
        if first.files != files or len(row.spans) > 1 or not new:
            return "duplicate_id"
        first.captions.update(dict.fromkeys(new))
        self._more.setdefault(row.identity, []).extend(new)
        return "further_caption"

    def more_captions(self) -> dict[str, tuple[str, ...]]:
        """By identity, the captions of rows that were a further_caption."""
        return {videoid: tuple(captions) for videoid, captions in self._more.items()}


def _files(row: SourceRow) -> tuple[str, ...]:
    return (row.content_url, row.record.get(row.columns.page_dir, ""))
