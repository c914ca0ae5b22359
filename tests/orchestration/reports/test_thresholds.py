"""Thresholds of a dataset report: the sliders count what training would use, and print its settings."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Page
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.reports import dataset_report
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from pipelines.loader import Selection, WeightedDataset
from pipelines.survey import Spans, draw_clips, survey
from tests.support.browser import chromium, needs_chromium, watched
from tests.support.coded_clips import build_dataset

COUNT = 60
MOVE = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = build_dataset(tmp_path_factory.mktemp("thresholds") / "data", [2 + n % 9 for n in range(COUNT)])
    rng, source = np.random.default_rng(1), {"dataset": made.digest}
    write_column(made, "flow", pa.array(rng.gamma(2, 3, COUNT).astype(np.float32)), source)
    licences = pa.array(["</script><b>", "CC0"] * (COUNT // 2))
    write_column(made, "licence", licences, source)
    return made


def write(dataset: Dataset, path: Path, drawn: int) -> None:
    found = survey(dataset)
    clips = draw_clips(dataset, [each.name for each in found.distributions], drawn)
    dataset_report.write_report(path, found, [], Spans.of(dataset).whole, clips)


def move(page: Page, slider: str, value: int) -> None:
    page.get_by_label(slider, exact=True).evaluate(MOVE, value)


@needs_chromium
def test_sliders_count_what_training_uses_and_print_its_settings(dataset: Dataset, tmp_path: Path) -> None:
    write(dataset, tmp_path / "all.html", COUNT)
    write(dataset, tmp_path / "some.html", 40)
    errors: list[str] = []
    with chromium() as browser:
        page = watched(browser.new_context(viewport={"width": 390, "height": 800})).page
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "all.html").as_uri())
        assert page.locator("#together").inner_text() == "No threshold: all clips are kept."
        move(page, "flow at least", 20)
        move(page, "frames at most", 6)
        settings = shlex.split(page.locator("#settings").inner_text().replace("--set", ""))
        assert [setting.partition("=")[0] for setting in settings] == [
            "data.selection.max.frames",
            "data.selection.min.flow",
        ]
        limits = {
            name.split(".")[2]: {name.split(".")[3]: float(value)}
            for name, value in (s.split("=") for s in settings)
        }
        used = len(WeightedDataset(dataset, selection=Selection(**limits)).selected())
        assert page.locator("#together").inner_text().startswith(f"{used} of {COUNT} clips")
        keep = re.fullmatch(r'--keep "(.*)"', page.locator("#keep").inner_text())
        assert keep is not None
        printed = CliRunner().invoke(
            app,
            [
                "inspect",
                dataset.url,
                "--clips",
                "0",
                "--out",
                str(tmp_path / "r.html"),
                "--keep",
                keep[1],
                "--json",
            ],
        )
        assert json.loads(printed.stdout)["kept"]["together"]["clips"] == used
        alone = len(WeightedDataset(dataset, selection=Selection(min=limits["min"])).selected())
        card = page.locator(".threshold", has=page.get_by_label("flow at least", exact=True))
        assert f"keeps {100 * alone / COUNT:.1f} % of clips" in card.locator("output").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("button", name="No thresholds").click()
        assert page.locator("#settings").inner_text() == ""
        page.goto((tmp_path / "some.html").as_uri())
        move(page, "flow at least", 20)
        assert re.match(
            r"about \d+\.\d % of clips \(± \d+\.\d %, by 40 drawn", page.locator("#together").inner_text()
        )
    assert errors == []


def test_texts_of_columns_are_no_markup(dataset: Dataset, tmp_path: Path) -> None:
    write(dataset, tmp_path / "page.html", COUNT)
    page = (tmp_path / "page.html").read_text()
    assert "&lt;/script&gt;&lt;b&gt;" in page
    data = re.search(r'id="threshold-data">(.*?)</script>', page, re.S)
    assert data is not None
    assert json.loads(data[1])["whole"][0] == COUNT


def test_limits_are_counted_on_the_terminal(dataset: Dataset, tmp_path: Path) -> None:
    call = ["inspect", dataset.url, "--clips", "0", "--out", str(tmp_path / "r.html"), "--keep"]
    printed = CliRunner().invoke(app, [*call, "flow>=4,frames<=6"]).stdout
    used = len(WeightedDataset(dataset, selection=Selection(min={"flow": 4}, max={"frames": 6})).selected())
    assert re.search(rf"^together\s+{used}\s", printed, re.M)
    assert "--set data.selection.min.flow=4.0 --set data.selection.max.frames=6.0" in printed
    refused = CliRunner().invoke(app, [*call, "flow=4"])
    assert refused.exit_code == 1
    assert "error: --keep: 'flow=4' is no limit" in refused.output
