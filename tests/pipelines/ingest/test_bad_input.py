"""Every input row ends as samples or as a rejection with a reason, and the counts add up."""

import csv
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.verify import verify
from pipelines.fetch import FetchPolicy
from pipelines.ingest.unit import IngestConfig, make_unit
from pipelines.sources import SourceTable
from tests.support.bad_inputs import SAMPLE, BadServer, Expected, bad_rows, write_files
from tests.support.footage import COLUMNS, row


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BadServer) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_every_bad_input_ends_as_a_sample_or_a_named_rejection(server: str, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    (videos / "p").mkdir(parents=True)
    expected = write_files(videos / "p")
    rows = [row(videoid) for videoid in expected]
    BadServer.video = (videos / "p" / "fast.mp4").read_bytes()
    rows += [
        row(f"web-{name}", page_dir="none", contentUrl=f"{server}/{name}") for name in BadServer.expected
    ]
    expected |= {f"web-{name}": outcomes for name, outcomes in BadServer.expected.items()}
    written, wanted = bad_rows()
    table = write_raw_table(tmp_path / "table.csv", [*rows, *written])
    policy = FetchPolicy(attempts=2, backoff_s=0.01, timeout_s=1, max_bytes=10 << 20, allow_private=True)
    settings = {"videos": str(videos), "short_side": 64, "condition_frames": 2, "fetch": policy}
    dataset = make_here(IngestConfig(source=str(table), output=str(tmp_path / "data"), **settings))
    counts, rejects = dataset.info["counts"], dataset.rejects.to_pylist()
    found = {name: {SAMPLE} for name in dataset.samples["source_id"].to_pylist()}
    for reject in rejects:
        found.setdefault(reject["source_id"], set()).add(reject["reason"])
    expected = merged(expected, wanted)
    unexpected = {
        name: (found.get(name), outcomes)
        for name, outcomes in expected.items()
        if not found.get(name) or not found[name] <= outcomes
    }
    assert not unexpected
    assert counts["rows"] == len(rows) + len(written) + 3 >= 80
    assert counts["reasons"]["malformed_row"] == 3
    assert counts["rows"] == counts["samples"] + counts["rejected_rows"]
    assert len({reject["row"] for reject in rejects}) == counts["rejected_rows"]
    assert verify(tmp_path / "data", deep=True) == []


def make_here(config: IngestConfig) -> Dataset:
    """The dataset that ``ingest`` makes, in this process alone."""
    rows = list(SourceTable(config.source).rows())
    units = [rows[first : first + 30] for first in range(0, len(rows), 30)]
    for unit, part in enumerate(units):
        make_unit(config, unit, part, {})
    commit_dataset(Folder(config.output), {"test": "bad input"}, len(units), len(rows))
    return Dataset.open(config.output)


def merged(*parts: Expected) -> Expected:
    outcomes: Expected = {}
    for part in parts:
        for name, allowed in part.items():
            outcomes[name] = outcomes.get(name, set()) | allowed
    return outcomes


def write_raw_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """A table that ends in a row with too few fields, one with too many, and one that is not UTF-8."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
        csv.writer(file).writerows([["few", "", ""], ["many", "", "", "p", "a", "", "", ""]])
    with path.open("ab") as file:
        file.write(b"latin,,,p,caf\xe9,\r\n")
    return path
