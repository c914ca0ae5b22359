"""What a preview states. URLs in it have no credentials."""

from dataclasses import dataclass, field

from pipelines.fetch import Probe


@dataclass(frozen=True)
class PreviewFile:
    """How a file, or several that are alike, is read.

    Attributes:
        name: of the first one, relative to the source.
        files: how many.
        bytes: of all of them, if known.
        kind: of format, as csv.
        compression: None without.
        delimiter: of a table of delimited values, as are escape and encoding; None in other formats.
        escape: before a quote within a quoted field.
        encoding: of its text.
    """

    name: str
    files: int
    bytes: int | None
    kind: str
    compression: str | None
    delimiter: str | None
    escape: str | None
    encoding: str | None


@dataclass(frozen=True)
class PreviewColumn:
    """A column and what it is read as: id, caption, video, folder, times, start, end; None: kept as it is."""

    name: str
    meaning: str | None


@dataclass(frozen=True)
class Rejections:
    """Rows that are rejected for one reason before any video is fetched.

    Attributes:
        rows: how many.
        first_row: number of the first one.
        detail: of the first one.
    """

    rows: int
    first_row: int
    detail: str


@dataclass(frozen=True)
class Counts:
    """Counts over the whole table.

    Attributes:
        rows: of the table.
        tried: whose videos will be fetched.
        rejected: the others by reason, most first.
        spans: parts of videos that the tried rows name.
        rows_with_spans: how many name any.
        captions: number of tried rows by their number of captions, spans counted together.
        schemes: tried rows by the scheme of their first location; "" is a local path.
        hosts: tried rows by the web host of their video, which may have a local copy too; the largest ones.
        further_hosts: number of hosts that are not listed, and of their rows.
    """

    rows: int
    tried: int
    rejected: dict[str, Rejections]
    spans: int
    rows_with_spans: int
    captions: dict[int, int]
    schemes: dict[str, int]
    hosts: dict[str, int]
    further_hosts: tuple[int, int]


@dataclass(frozen=True)
class PreviewRow:
    """A row as it will be treated.

    Attributes:
        row: its number, from 0.
        id: what its id column has.
        key: with which the keys of its samples begin.
        reason: why it is rejected; None: its video will be fetched.
        detail: of the rejection.
        locations: where its video is looked for, in order.
        captions: all of them, in order; of each span if it has any.
        spans: start and end in seconds.
        probe: what the first bytes of its video show, if that was asked for.
    """

    row: int
    id: str
    key: str
    reason: str | None
    detail: str
    locations: list[str]
    captions: list[list[str]]
    spans: list[tuple[float, float]]
    probe: Probe | None = None


@dataclass(frozen=True)
class Doubt:
    """Something that may not be meant: what was found, and what would change it."""

    finding: str
    remedy: str = ""


@dataclass(frozen=True)
class Output:
    """The dataset that an ingest would make or continue.

    Attributes:
        location: folder or URL.
        units: of the table, each a shard.
        unit_rows: rows of one.
        finished: units that are stored there already.
        changes: how its recorded inputs differ; empty for a new dataset too.
    """

    location: str
    units: int
    unit_rows: int
    finished: int
    changes: list[str]


@dataclass(frozen=True)
class Preview:
    """What an ingest would do; ``findings``: about a source of videos."""

    source: str
    videos: str | None
    layout: str
    findings: list[str]
    files: list[PreviewFile]
    columns: list[PreviewColumn]
    counts: Counts
    rows: list[PreviewRow]
    doubts: list[Doubt] = field(default_factory=list)
    output: Output | None = None
