"""The report on a dataset is one self-contained file that agrees with the tables."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from typer.testing import CliRunner

from core.storage import Folder
from orchestration.cli import app
from orchestration.reports.dataset_report import outcomes
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from tests.support.coded_clips import build_dataset

runner = CliRunner()
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and notes text and outside references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    assert page.open == []
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "url(" not in path.read_text() and "@import" not in path.read_text()
    page.text = re.sub(r"\s+", " ", page.text)
    return page


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Dataset:
    """Three clips, one unreadable, then two rejected rows; made in two calls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    made = build_dataset(tmp_path / "data", [12, 24, 24], lambda n, mp4: mp4[:100] if n == 2 else mp4)
    rejects = [
        {
            "row": 3,
            "source_id": "<b>",
            "samples": 0,
            "reason": "fetch_failed",
            "detail": "a & b",
            "record": {},
        },
        {"row": 4, "source_id": "4", "samples": 0, "reason": "too_still", "detail": "", "record": {}},
    ]
    folder = Folder(tmp_path / "data")
    commit_clips(folder, 1, [], rejects)
    commit_dataset(folder, {"crf": 20, "filters": {"min_motion": 0.5}}, units=2, rows=5)
    timing = {"run": 1000.0, "seconds": 50.0, "rows": 3, "samples": 3, "bytes": 30000}
    lines = [{**timing, "unit": unit, "ended": 1100.0 + unit} for unit in range(2)]
    folder.write("timings.jsonl", "\n".join(map(json.dumps, lines)).encode())
    return Dataset.open(made.url)


def inspect(*arguments: object):
    result = runner.invoke(app, ["inspect", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_report_lists_the_outcome_of_every_row(dataset):
    printed = inspect("data")
    path = Path("runs/inspect") / f"data-{dataset.digest[:8]}.html"
    assert f"report {path}" in printed
    assert "5 rows: 3 samples, 2 rows rejected; 2 shards" in printed
    page = read(path)
    for text in (
        dataset.digest,
        "became clips 3 60.00 %",
        "fetch_failed 1 20.00 %",
        "row 3, <b>: a & b",
        "row 4, 4",
        "caption 0",
        "caption 2",
        "rows per second",
        "filters.min_motion 0.5",
    ):
        assert text in page.text
    assert len(page.sources) == 2 * 4
    assert path.read_text().count('class="problem"') == 1


def test_the_title_is_a_path_from_here_and_pictures_are_described_by_their_captions(dataset, monkeypatch):
    inspect("data", "--out", "here.html")
    page = Path("here.html").read_text()
    assert "<title>data</title>" in page and "<h1>data</h1>" in page
    assert f'alt="{dataset.samples["caption"][0].as_py()}"' in page
    described = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert len(set(described)) == len(described) == 2 * 4
    (Path.cwd() / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    for given, title in (("../data", "../data"), (str(Path("../data").resolve()), "data")):
        inspect(given, "--out", "there.html")
        assert f"<title>{title}</title>" in Path("there.html").read_text()
        assert str(Path("..").resolve()) not in Path("there.html").read_text()


def test_the_number_of_clips_and_the_file_can_be_chosen(dataset):
    printed = json.loads(inspect("data", "--clips", 1, "--seed", 3, "--out", "a/b.html", "--json"))
    assert printed["page"] == "a/b.html"
    assert printed["counts"]["reasons"] == {"fetch_failed": 1, "too_still": 1}
    assert printed["spread"]["frames"] == {"min": 12, "mean": 20, "max": 24}
    assert len(re.findall(r"caption \d clip-", read(Path("a/b.html")).text)) == 1


def test_an_empty_dataset_without_times_has_a_report_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Folder(tmp_path / "empty")
    reject = {"row": 0, "source_id": "a", "samples": 0, "reason": "empty_file", "detail": "", "record": {}}
    commit_clips(folder, 0, [], [reject])
    commit_dataset(folder, {}, units=1, rows=1)
    inspect("empty", "--out", "report.html")
    assert "The ingest recorded no times" in read(Path("report.html")).text


def test_a_dataset_in_an_object_store_is_read_there(dataset):
    store = fsspec.filesystem("memory")
    for path in Path("data").rglob("*"):
        if path.is_file():
            store.pipe_file(f"/bucket/{path}", path.read_bytes())
    printed = json.loads(inspect("memory://bucket/data", "--json"))
    assert printed["digest"] == dataset.digest
    assert Path(printed["page"]).parent == Path("runs/inspect")
    assert len(read(Path(printed["page"])).sources) == 2 * 4


def test_further_captions_of_a_video_do_not_look_lost():
    counts = {"rows": 3, "rejected_rows": 2, "reasons": {"further_caption": 1, "no_caption": 1}}
    found = outcomes(SimpleNamespace(counts=counts, examples={}))
    assert [(each.name, each.good) for each in found] == [
        ("became clips", True),
        ("further_caption", True),
        ("no_caption", False),
    ]
