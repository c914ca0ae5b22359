"""``animatic ingest --dry-run``: what the table was understood as, as a page for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from core.urls import is_url
from orchestration.cli.common import err, only_results_on_stdout, out, print_result
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.ingest import IngestRequest
    from pipelines.ingest.dry_run import Counts, Doubt, Preview, PreviewFile, PreviewRow

_WIDTH = 100
_LABEL = 12
_MOST_NAMES = 12
_MOST_SPANS = 2
_LONG_WORD = 80
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def preview_ingest(request: IngestRequest, probes: bool, as_json: bool) -> None:
    """Read the table and print what the ingest would do."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows.ingest import preview_ingest as run

    with only_results_on_stdout(), counting(err(), "rows") as on_rows:
        preview = run(request, probes, on_rows)
    print_result(preview, partial(_print, preview), as_json)


def _print(preview: Preview) -> None:
    out().print("dry run: no video was fetched, nothing was written", style="dim")
    _print_source(preview)
    _print_counts(preview.counts)
    _print_rows(preview.rows)
    _print_doubts(preview.doubts)
    _print_output(preview)


def _heading(title: str, about: str = "") -> None:
    out().print()
    out().print(f"{title}  {about}".rstrip(), style="bold")


def _line(label: str, text: str, indent: int = 2) -> None:
    """A label and a text, which continues below itself."""
    first = f"{' ' * indent}{label:<{_LABEL}}"
    out().print(_filled(text, first) or first.rstrip())


def _filled(text: str, first: str) -> str:
    """Text after ``first``, in lines that begin below where it begins."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print_source(preview: Preview) -> None:
    _heading("Source", display_path(preview.source))
    for file in preview.files:
        _line("files" if file is preview.files[0] else "", _described(file))
    for finding in preview.findings:
        _line("found" if finding is preview.findings[0] else "", finding)
    if preview.layout != "webvid":
        _line("layout", preview.layout)
    used = [f"{column.name} → {column.meaning}" for column in preview.columns if column.meaning]
    _line("columns", ", ".join(used))
    roots = {column.name.partition(".")[0] for column in preview.columns if column.meaning}
    rest = [column.name for column in preview.columns if not column.meaning and column.name not in roots]
    if rest:
        more = f" and {len(rest) - _MOST_NAMES} more" if len(rest) > _MOST_NAMES else ""
        _line("kept", f"{', '.join(rest[:_MOST_NAMES])}{more}: stored with the samples")
    _line("videos", "no folder: contentUrl alone" if preview.videos is None else display_path(preview.videos))


def _described(file: PreviewFile) -> str:
    name = file.name if file.files == 1 else f"{file.files:,} files, the first is {file.name}"
    parts = [name, file.kind]
    if file.compression:
        parts.append(file.compression)
    if file.delimiter:
        parts.append(f"{_DELIMITERS.get(file.delimiter, repr(file.delimiter))} between fields")
        quote = '""' if file.escape in (None, '"') else f'{file.escape}"'
        parts.append(f"{quote} within quotes")
    if file.encoding:
        parts.append("UTF-8" if file.encoding.startswith("utf-8") else file.encoding)
    if file.bytes is not None:
        parts.append(_size(file.bytes))
    return ", ".join(parts)


def _print_counts(counts: Counts) -> None:
    _heading("Rows", f"{counts.rows:,}")
    _line("to fetch", _share(counts.tried, counts.rows))
    further = counts.rejected.get("further_caption")
    if further is not None:
        _line("joined", f"{_share(further.rows, counts.rows)}: further captions, stored with their video")
    rejected = {reason: found for reason, found in counts.rejected.items() if found is not further}
    if rejected:
        _line("rejected", _share(sum(found.rows for found in rejected.values()), counts.rows))
    for reason, found in rejected.items():
        example = f"row {found.first_row}{_detail(found.detail)}"
        out().print(_clipped(f"    {reason:<20} {found.rows:>12,}   {example}"))
    if counts.rows_with_spans:
        _line("spans", f"{counts.spans:,}, in {counts.rows_with_spans:,} rows: a clip is cut from each")
    if counts.captions:
        _line("captions", "; ".join(_histogram(counts.captions)))
    if counts.schemes:
        _line("from", ", ".join(f"{_scheme(name)} {rows:,}" for name, rows in counts.schemes.items()))
    if counts.hosts:
        hosts = [f"{host} {rows:,}" for host, rows in counts.hosts.items()]
        others, rows = counts.further_hosts
        if rows:
            hosts.append(f"{others:,} more with {rows:,}")
        _line("hosts", ", ".join(hosts))


def _share(rows: int, total: int) -> str:
    return f"{rows:,} ({rows / total:.1%})"


def _scheme(name: str) -> str:
    return f"{name}://" if name else "local files"


def _histogram(captions: dict[int, int]) -> Iterable[str]:
    """Rows by number of captions, the larger numbers together."""
    bounds = ((0, 0), (1, 1), (2, 2), (3, 4), (5, 9), (10, 19), (20, None))
    for least, most in bounds:
        rows = sum(
            n for number, n in captions.items() if least <= number and (most is None or number <= most)
        )
        if rows:
            label = f"{least}" if least == most else f"{least} or more" if most is None else f"{least}–{most}"
            yield f"{label} each in {rows:,} rows"


def _print_rows(rows: list[PreviewRow]) -> None:
    _heading("Rows as they will be treated", f"{len(rows)} of them; those after the first show what differs")
    for row in rows:
        _print_row(row)


def _print_row(row: PreviewRow) -> None:
    name = row.id or "(no id)"
    if row.reason == "further_caption":
        _line(f"row {row.row}", f"{name}  its caption is stored with the first row of the video")
        return
    if row.reason is not None:
        _line(f"row {row.row}", f"{name}  rejected, {row.reason}{_detail(row.detail)}")
        return
    key = "" if row.key == row.id else f"  key {row.key}"
    _line(f"row {row.row}", f"{name}{key}")
    for number, location in enumerate(row.locations):
        _line("video" if number == 0 else "or", display_path(location), 4)
    if row.probe is not None:
        _line("probe", _probed(row), 4)
    for number, captions in enumerate(row.captions[:_MOST_SPANS]):
        span = f"{row.spans[number][0]:g}–{row.spans[number][1]:g} s  " if row.spans else ""
        more = f"  (and {len(captions) - 1} more)" if len(captions) > 1 else ""
        _line("span" if row.spans else "caption", f"{span}{_quoted(captions)}{more}", 4)
    if len(row.captions) > _MOST_SPANS:
        _line("", f"and {len(row.captions) - _MOST_SPANS} more", 4)


def _probed(row: PreviewRow) -> str:
    probe = row.probe
    assert probe is not None
    if probe.reason is not None:
        return f"rejected, {probe.reason}{_detail(probe.detail)}"
    size = "of unknown size" if probe.bytes is None else _size(probe.bytes)
    return f"a page, no video file ({size})" if probe.is_page else f"found, {size}"


def _detail(detail: str) -> str:
    """What follows a reason; a table may contain anything."""
    words = " ".join(map(_shortened, detail.split()))
    return f": {words}" if words else ""


def _shortened(word: str) -> str:
    return word if len(word) <= _LONG_WORD or is_url(word) else f"{word[:_LONG_WORD]}…"


def _quoted(captions: list[str]) -> str:
    return f"“{textwrap.shorten(captions[0], 160, placeholder=' …')}”" if captions else "no caption"


def _print_doubts(doubts: list[Doubt]) -> None:
    if not doubts:
        _heading("Doubts", "none")
        return
    _heading("Doubts")
    for number, doubt in enumerate(doubts, 1):
        first = f"  {number}. "
        out().print(_filled(" ".join(map(_shortened, doubt.finding.split())), first))
        if doubt.remedy:
            out().print(_filled(doubt.remedy, " " * len(first)))


def _print_output(preview: Preview) -> None:
    output = preview.output
    if output is None:
        return
    _heading("Output", display_path(output.location))
    _line("units", f"{output.units:,} of {output.unit_rows:,} rows, a shard each")
    if output.finished:
        _line("", f"{output.finished:,} are finished already")
    elif not output.changes:
        _line("", "a new dataset")


def _size(size: int) -> str:
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _clipped(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
