"""The page of an evaluation: complete, self-contained, bounded, the same for equal reports."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from pipelines.evaluate.page import picks as picks_module
from pipelines.evaluate.page import write_page
from pipelines.evaluate.page.picks import pick_clips
from tests.support.evaluated import finished_evaluation, noisy

VOID = {"meta", "img", "br", "link", "input", "hr"}
SHUFFLED = {7: "flicker", 11: "travel", 13: "first_frame_psnr", 17: "denoising_loss", 19: "first_frame_ssim"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


class Page(HTMLParser):
    """Checks that every element is closed in order; notes text, tags, references and attributes of events."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.files: set[str] = set()
        self.links: list[str] = []
        self.events: list[str] = []
        self.text = ""
        self.feed(path.read_text())
        assert self.open == []
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.files |= {value for name, value in attrs if name in ("src", "poster")}
        self.links += [value for name, value in attrs if name == "href"]
        self.events += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def some_still(real, draw):
    """Every other clip does not move."""
    return real[:1].repeat(len(real), axis=0) if draw.random() < 0.5 else noisy(real, draw)


def contents(folder: Path) -> dict[str, bytes]:
    paths = [folder / "index.html", *(folder / "clips").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_page_has_the_figures_and_clips_of_its_report_and_needs_nothing_else(tmp_path):
    system = finished_evaluation(tmp_path, clips=5, derive=some_still, per_source=1)
    page = Page(write_page(tmp_path, [system]))
    report = system.report
    psnr = report["metrics"]["first_frame_psnr"]
    assert f"{psnr['value']:.3g} {psnr['low']:.3g} to {psnr['high']:.3g}" in page.text
    assert f"{len(report['frozen'])} of 5 clips do not move." in page.text and report["frozen"]
    assert all(row["key"] in page.text and row["caption"] in page.text for row in report["clips"])
    assert f"animatic evaluate DATA --bundle {report['system']['digest']} --clips 5" in page.text
    assert "not measured" not in page.text and page.links == []
    assert page.files == {str(path.relative_to(tmp_path)) for path in (tmp_path / "clips").iterdir()}
    assert "http" not in (tmp_path / "index.html").read_text()
    with np.load(tmp_path / "chunks" / "chunk-00000.npz") as stored:
        real = stored["real"][0]
    with av.open(str(tmp_path / "clips" / "00000-real.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(real)
    with Image.open(tmp_path / "clips" / "00000.png") as picture:
        small = np.asarray(picture.resize(real.shape[1:3][::-1]), float)
    assert np.abs(small - real[0]).mean() < 4


def test_equal_reports_have_equal_pages_and_files_of_an_earlier_page_are_deleted(tmp_path):
    system = finished_evaluation(tmp_path / "a", clips=5)
    write_page(tmp_path / "a", [system])
    first = contents(tmp_path / "a")
    (tmp_path / "a" / "clips" / "00099-real.mp4").write_bytes(b"of an earlier page")
    write_page(tmp_path / "a", [system])
    assert contents(tmp_path / "a") == first


def test_text_of_others_never_becomes_markup(tmp_path):
    harmless, hostile = (
        finished_evaluation(
            tmp_path / name,
            text,
            4,
            caption=lambda _, text=text: text,
            key=lambda n, text=text: f"{text}../{n}",
        )
        for name, text in (("a", "x" * len(HOSTILE)), ("b", HOSTILE))
    )
    expected, found = (
        Page(write_page(tmp_path / each, [s])) for each, s in (("a", harmless), ("b", hostile))
    )
    assert found.tags == expected.tags and found.events == []
    assert found.files == expected.files
    assert HOSTILE in found.text


def test_systems_of_the_same_clips_are_side_by_side_with_what_others_have_published(tmp_path):
    one, two = (
        finished_evaluation(tmp_path / name, name, clips=4, loss=loss, protocol="ucf101")
        for name, loss in (("ours", 0.3), ("theirs", 0.4))
    )
    two.report["metrics"]["denoising_loss"]["version"] = "denoising_loss/1+eps:0"
    page = Page(write_page(tmp_path / "both", [one, two]))
    assert "ours · theirs" in page.text and "Published, not measured" in page.text
    assert "denoising_loss/1+eps:0; do not compare" in page.text
    assert all(link.startswith("https://") for link in page.links)
    for name in ("generated-0", "generated-1", "real"):
        assert f"clips/00003-{name}.mp4" in page.files
    other = finished_evaluation(tmp_path / "other", clips=5)
    with pytest.raises(AnimaticError, match="not evaluated by the protocol of ours"):
        write_page(tmp_path / "none", [one, other])


def test_a_page_displays_a_few_of_many_clips_with_the_ends_of_each_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(picks_module, "MOST", 20)
    system = finished_evaluation(tmp_path, clips=6)
    rows = system.report["clips"]
    many = [{**rows[n % 6], "key": f"k{n}", "metrics": {**rows[n % 6]["metrics"]}} for n in range(500)]
    for n, row in enumerate(many):
        row["metrics"] |= {name: float(n * factor % 500) for factor, name in SHUFFLED.items()}
    picks = pick_clips([{**system.report, "clips": many}])
    assert len(picks.displayed) == 20 and picks.first == list(range(6))
    flicker = next(ranking for ranking in picks.rankings if ranking.column == "flicker")
    values = [many[number]["metrics"]["flicker"] for number in (*flicker.best, *flicker.worst)]
    assert values[0] == 0 and 499 in values and (flicker.good, flicker.bad) == ("Best", "Worst")


def test_a_report_without_its_clips_has_no_page(tmp_path):
    system = finished_evaluation(tmp_path, clips=5)
    shutil.rmtree(tmp_path / "chunks")
    with pytest.raises(AnimaticError, match="lacks clips of its report: rerun animatic evaluate"):
        write_page(tmp_path, [system])
