"""Counts over all rows of a table, in memory that does not grow with it, and the rows to display."""

import functools
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.errors import RejectedError
from core.urls import is_web, recordable, scheme_of, without_credentials
from pipelines.fetch import check_location
from pipelines.ingest.dry_run.records import Counts, PreviewRow, Rejections
from pipelines.sources import MemberAddress, SourceRow

DISPLAYED = 10
_MOST_HOSTS = 10_000
_ORIGIN = re.compile(r"(?<=[^:/])[/?#]")  # what follows a host
_LISTED_HOSTS = 10
_FIRST = 4  # of the displayed rows, the first of the table; the others show each a treatment of their own


@dataclass(frozen=True)
class Treatment:
    """What happens to a row before its video is fetched: its locations, or the reason why it has none."""

    locations: tuple[str, ...] = ()
    reason: str | None = None
    detail: str = ""

    @classmethod
    def of(cls, row: SourceRow, videos: str | None, *, allow_private: bool) -> "Treatment":
        """The treatment of a row."""
        if row.problem is not None:
            return cls(reason=row.problem, detail=row.detail)
        try:
            locations = row.candidates(videos)
            check_location(locations[0], allow_private=allow_private)
        except RejectedError as error:
            return cls(reason=error.reason, detail=error.detail)
        return cls(tuple(locations))


class RowTally:
    """Counts rows one after another."""

    def __init__(self, videos: str | None, *, allow_private: bool) -> None:
        """``videos``: folder or URL of the videos, if there is one."""
        self._videos, self._allow_private = videos, allow_private
        self._rows = self._spans = self._rows_with_spans = 0
        self._rejected: dict[str, Rejections] = {}
        self._captions, self._schemes, self._hosts = Counter[int](), Counter[str](), Counter[str]()
        self._further_hosts = 0
        self._first: list[tuple[SourceRow, Treatment]] = []
        self._of_kind: dict[tuple[object, ...], tuple[SourceRow, Treatment]] = {}

    def add(self, row: SourceRow) -> Treatment:
        """Count a row; returns its treatment."""
        treatment = Treatment.of(row, self._videos, allow_private=self._allow_private)
        self._rows += 1
        if treatment.reason is not None:
            self._reject(row, treatment.reason, treatment.detail)
            kind: tuple[object, ...] = (treatment.reason,)
        else:
            kind = self._count(row, treatment.locations)
        # The caption of a further_caption is displayed with its video; of such rows one is enough.
        if len(self._first) < DISPLAYED and treatment.reason != "further_caption":
            self._first.append((row, treatment))
        if len(self._of_kind) < DISPLAYED:
            self._of_kind.setdefault(kind, (row, treatment))
        return treatment

    def counts(self) -> Counts:
        """The counts so far."""
        rejected = sorted(self._rejected.items(), key=lambda item: -item[1].rows)
        hosts = self._hosts.most_common()
        others = hosts[_LISTED_HOSTS:]
        return Counts(
            rows=self._rows,
            tried=self._rows - sum(rejection.rows for rejection in self._rejected.values()),
            rejected=dict(rejected),
            spans=self._spans,
            rows_with_spans=self._rows_with_spans,
            captions=dict(sorted(self._captions.items())),
            schemes=dict(self._schemes.most_common()),
            hosts=dict(hosts[:_LISTED_HOSTS]),
            further_hosts=(len(others), sum(rows for _, rows in others) + self._further_hosts),
        )

    def displayed(self) -> list[tuple[SourceRow, Treatment]]:
        """Rows to display: the first ones, and the first one of every kind."""
        chosen = {row.row: (row, treatment) for row, treatment in self._first[:_FIRST]}
        for row, treatment in [*self._of_kind.values(), *self._first]:
            if len(chosen) < DISPLAYED:
                chosen.setdefault(row.row, (row, treatment))
        return [chosen[number] for number in sorted(chosen)]

    def _reject(self, row: SourceRow, reason: str, detail: str) -> None:
        known = self._rejected.get(reason, Rejections(0, row.row, without_credentials(detail)))
        self._rejected[reason] = Rejections(known.rows + 1, known.first_row, known.detail)

    def _count(self, row: SourceRow, locations: tuple[str, ...]) -> tuple[object, ...]:
        """Count a row that will be tried; returns what kind it is of."""
        spans = len(row.spans)
        captions = sum(map(len, captions_of(row))) if spans else len(row.captions)
        scheme, member = scheme_of(locations[0]), MemberAddress.parse(locations[0])
        self._spans += spans
        self._rows_with_spans += spans > 0
        self._captions[captions] += 1
        self._schemes[scheme] += 1
        for location in locations:
            if is_web(location):
                self._count_host(location)
        return scheme, member is not None, spans > 0, captions > max(1, spans)

    def _count_host(self, location: str) -> None:
        host = host_of(location)
        if host in self._hosts or len(self._hosts) < _MOST_HOSTS:
            self._hosts[host] += 1
        else:
            self._further_hosts += 1


def host_of(location: str) -> str:
    """The host of a web address, in lower case."""
    return _host(_ORIGIN.split(location, maxsplit=1)[0])


@functools.lru_cache(maxsize=1000)
def _host(origin: str) -> str:
    try:
        return (urlsplit(origin).hostname or "").lower()
    except ValueError:  # as of letters that no host has; the fetcher rejects it
        return ""


def captions_of(row: SourceRow) -> list[list[str]]:
    """The captions of each span, or of the whole video as one item."""
    return [row.captions_of_span(number) for number in range(len(row.spans))] or [row.captions]


def displayed_row(row: SourceRow, treatment: Treatment) -> PreviewRow:
    """A row for people, without credentials."""
    is_tried = treatment.reason is None
    return PreviewRow(
        row=row.row,
        id=row.source_id,
        key=row.key if is_tried else "",
        reason=treatment.reason,
        detail=without_credentials(treatment.detail),
        locations=[recordable(location) for location in treatment.locations],
        captions=captions_of(row) if is_tried else [],
        spans=[(span.start, span.end) for span in row.spans] if is_tried else [],
    )
