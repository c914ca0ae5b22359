"""What an ingest costs before and after its videos: reading the table, and finding that nothing is to do.

Every variant runs in a process of its own, so that its peak of memory is its own.
"""

import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from core.storage import Folder
from pipelines.ingest import IngestConfig
from pipelines.ingest.inputs import IngestInputs, rows_digest
from pipelines.ingest.unit import make_unit
from pipelines.sources import SourceTable
from tests.bench.timing import MIB, Result, Row

RESUMED_ROWS = 100_000
# As WebVid's, but for the name of contentUrl: nothing shall be downloaded.
COLUMNS = ("videoid", "address", "duration", "page_dir", "name")


def planning(rows: int) -> list[Result]:
    """Planning of a table of so many rows, and calls of ingest that find a dataset of RESUMED_ROWS done."""
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        folder = Path(scratch)
        plan = _measured("plan", _config(folder, rows))
        made = Row(f"{rows:,} rows, {_table(folder, rows).stat().st_size / MIB:,.0f} MiB of CSV", *plan)
        title = "a table read, checked and digested"
        return [Result("plan", title, "wall seconds", [made]), _resumed(folder)]


def _resumed(folder: Path) -> Result:
    """None of the rows has a video: what an ingest keeps of a row does not depend on that."""
    config = _config(folder, RESUMED_ROWS)
    _make_units(config)
    title = f"ingest of {RESUMED_ROWS:,} rows whose units are all there"
    rows = [Row("dataset.json to be made", *_measured("ingest", config))]
    rows.append(Row("finished", *_measured("ingest", config)))
    os.utime(config.source)
    rows.append(Row("finished, table touched", *_measured("ingest", config)))
    return Result("resume", title, "wall seconds", rows)


def _make_units(config: IngestConfig) -> None:
    """What the workers do, without Ray."""
    table = SourceTable(config.source)
    rows = table.rows()
    IngestInputs.of(config, table).write(Folder(config.output))
    for unit in itertools.count():
        batch = list(itertools.islice(rows, config.unit_rows))
        if not batch:
            return
        make_unit(config, unit, batch, {"rows": len(batch), "sha256": rows_digest(batch)})


def _config(folder: Path, rows: int) -> IngestConfig:
    (folder / "videos").mkdir(exist_ok=True)
    return IngestConfig(
        source=str(_table(folder, rows)), videos=str(folder / "videos"), output=str(folder / f"data-{rows}")
    )


def _table(folder: Path, rows: int) -> Path:
    """A table as WebVid's, written once."""
    path = folder / f"table-{rows}.csv"
    if not path.exists():
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number in range(rows):
                page = f"{number // 1000:06d}_{number // 1000 + 50:06d}"
                url = f"https://videos.example.org/{page}/{number:09d}.mp4"
                caption = f"Aerial view of a river in the mountains, take {number}"
                writer.writerow((f"{number:09d}", url, "PT00H00M18S", page, caption))
    return path


def _measured(what: str, config: IngestConfig) -> tuple[float, float, None, float]:
    """Seconds, 1, no error and peak of memory in MiB: what a Row takes."""
    command = [sys.executable, "-m", "tests.bench.planned", what, config.model_dump_json()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    return found["seconds"], 1.0, None, found["peak"] / MIB
