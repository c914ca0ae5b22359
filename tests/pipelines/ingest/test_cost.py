"""The cost of size: reading ten million rows, and resuming with a hundred thousand finished ones."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, ingest
from pipelines.ingest.changes import units_of
from pipelines.ingest.inputs import rows_digest
from pipelines.ingest.unit import make_unit
from pipelines.sources import SourceTable
from tests.support.paths import ROOT

READING = """
import json, resource, sys, time
from pipelines.sources import SourceTable
table = SourceTable(sys.argv[1], where="dynamic_confidence > 0.5")
rows = table.count()
taken = sum(row.problem is None for row in table.rows())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
print(json.dumps({"rows": rows, "taken": taken, "seconds": time.process_time(), "bytes": peak}))
"""


def write_numbered(path: Path, rows: int, repeated_every: int = 0) -> Path:
    """A table of ids, captions and confidences from 0.0 to 0.9; some ids occur for a second time."""
    with path.open("w") as file:
        file.write("videoid,page_dir,name,dynamic_confidence\n")
        for number in range(rows):
            videoid = number // 2 if repeated_every and number and number % repeated_every == 0 else number
            file.write(f'{videoid:09d},{number // 1000:06d},"a cat, number {number}",0.{number % 10}\n')
    return path


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_reading_ten_million_rows_takes_two_minutes_and_little_memory(tmp_path: Path) -> None:
    table = write_numbered(tmp_path / "table.csv", 10_000_000, repeated_every=1001)
    done = subprocess.run(
        [sys.executable, "-c", READING, str(table)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    print(figures)
    assert figures["rows"] == 10_000_000
    assert 3_990_000 < figures["taken"] < 4_000_000
    assert figures["seconds"] < 120
    assert figures["bytes"] < 1.5e9


@pytest.mark.slow
def test_a_hundred_thousand_finished_rows_are_skipped_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    table = write_numbered(tmp_path / "table.csv", 100_000)
    config = IngestConfig(
        source=str(table), videos=str(tmp_path / "videos"), output=str(tmp_path / "data"), workers=1
    )
    ingest(config.model_copy(update={"source": str(write_numbered(tmp_path / "one.csv", 1))}))
    for unit, rows in units_of(SourceTable(str(table)), config.unit_rows, 390):
        make_unit(config, unit, rows, {"rows": len(rows), "sha256": rows_digest(rows)})

    seconds = []
    for prepare in (lambda: None, lambda: None, table.touch, (tmp_path / "data" / "dataset.json").unlink):
        prepare()
        started = time.process_time()
        report = ingest(config)
        seconds.append(time.process_time() - started)
        assert (report.rows, report.rejected) == (100_000, 100_000)
    print(seconds)
    assert seconds[1] < 1, "a finished dataset"
    assert max(seconds) < 10
    assert verify(config.output) == []
