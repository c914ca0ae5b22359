"""The table of an ingest, read once without doing anything else: what its rows are and will become."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from core.config.locations import with_absolute_paths
from core.errors import AnimaticError
from core.storage import Folder
from core.urls import recordable, without_credentials
from pipelines.dataset.units import committed_units
from pipelines.fetch import Probe, WebAccess, probe
from pipelines.ingest.dry_run.doubts import RowDoubts
from pipelines.ingest.dry_run.records import (
    Doubt,
    Output,
    Preview,
    PreviewColumn,
    PreviewFile,
    PreviewRow,
)
from pipelines.ingest.dry_run.table_columns import overlooked, preview_columns
from pipelines.ingest.dry_run.tally import RowTally, Treatment, displayed_row
from pipelines.ingest.inputs import IngestInputs
from pipelines.ingest.needs import check_videos, needs_of
from pipelines.ingest.table import table_of, with_own_videos
from pipelines.ingest.unit import IngestConfig
from pipelines.sources import SourceRow, SourceTable, VideoArchives

_EVERY = 10_000


def preview(
    config: IngestConfig,
    *,
    probes: bool = False,
    on_rows: Callable[[int, int], None] = lambda done, rows: None,
) -> Preview:
    """Read the table of an ingest and state what the ingest would do; nothing is written.

    ``probes``: whether the first bytes of the displayed rows' videos are read. ``on_rows`` receives the
    numbers of rows read so far and of all, now and then.
    Raises AnimaticError as the ingest would before its work.
    """
    config = with_absolute_paths(config, "source", "videos", "output")
    access = config.fetch.access()
    check_videos(config.videos)
    table = table_of(config)
    config = with_own_videos(config, table)
    tally, doubts = RowTally(config.videos, allow_private=config.fetch.allow_private), RowDoubts(config)
    for number, row in enumerate(_rows(config, table)):
        doubts.add(row, tally.add(row))
        if number and number % _EVERY == 0:
            on_rows(number, table.count())
    counts = tally.counts()
    if not counts.rows:
        raise AnimaticError(f"{without_credentials(config.source)} has no rows")
    chosen = tally.displayed()
    rows = [displayed_row(row, treatment) for row, treatment in chosen]
    if probes:
        rows = _probed(rows, chosen, config, access)
    columns = preview_columns(table.columns, table.names)
    output = _output(config, table)
    of_rows = doubts.found(counts, table.columns, table.files[0].kind)
    return Preview(
        source=without_credentials(config.source),
        videos=None if config.videos is None else without_credentials(config.videos),
        layout=config.layout,
        findings=[without_credentials(finding) for finding in table.findings],
        files=_files(table),
        columns=columns,
        counts=counts,
        rows=rows,
        doubts=[
            *_of_formats(config, table),
            *of_rows,
            *_of_columns(columns, table),
            *_of_output(output),
        ],
        output=output,
    )


def _rows(config: IngestConfig, table: SourceTable) -> Iterator[SourceRow]:
    archives = VideoArchives.at(config.videos)
    return table.rows() if archives is None else archives.located_rows(table.rows())


def _probed(
    rows: list[PreviewRow],
    chosen: list[tuple[SourceRow, Treatment]],
    config: IngestConfig,
    access: WebAccess,
) -> list[PreviewRow]:
    """Rows with what the first bytes of their videos show."""
    tried = [treatment.locations for _, treatment in chosen if treatment.reason is None]
    probes = iter(probe([list(locations) for locations in tried], config.fetch, access))
    return [row if row.reason is not None else replace(row, probe=_recordable(next(probes))) for row in rows]


def _recordable(found: Probe) -> Probe:
    return replace(found, location=recordable(found.location), detail=without_credentials(found.detail))


def _files(table: SourceTable) -> list[PreviewFile]:
    """The files of a source, those that are read alike together."""
    sizes = {file.name: file.size for file in table.files}
    alike: dict[tuple[str | None, ...], list[str]] = {}
    for each in table.formats:
        how = (each.kind, each.compression, each.delimiter, each.escape, each.encoding)
        alike.setdefault(how, []).append(each.name)
    return [
        PreviewFile(names[0], len(names), _sum([sizes[name] for name in names]), str(kind), *rest)
        for (kind, *rest), names in alike.items()
    ]


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _of_formats(config: IngestConfig, table: SourceTable) -> Iterator[Doubt]:
    for notice in table.notices:
        yield Doubt(notice, "csv.delimiter, csv.escape and csv.encoding set it")
    for need in needs_of(table.scan().schemes, config.fetch):
        yield Doubt(need)


def _of_columns(columns: list[PreviewColumn], table: SourceTable) -> Iterator[Doubt]:
    for name, setting in overlooked(columns, table.names):
        yield Doubt(f"the column {name} is not used", f"--set {setting}={name}, if it is meant")


def _output(config: IngestConfig, table: SourceTable) -> Output:
    folder, inputs = Folder(config.output), IngestInputs.of(config, table)
    recorded = IngestInputs.recorded(folder)
    return Output(
        location=without_credentials(config.output),
        units=inputs.units,
        unit_rows=config.unit_rows,
        finished=0 if recorded is None else len(committed_units(folder)),
        changes=[] if recorded is None else recorded.changes(inputs),
    )


def _of_output(output: Output) -> Iterator[Doubt]:
    if output.finished and output.changes:
        yield Doubt(
            f"{output.location} was ingested with other inputs: {'; '.join(output.changes)}",
            "appended rows are added; for any other change pass --replace, or choose a new output folder",
        )
