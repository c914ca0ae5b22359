"""The demo's page and summary say what was measured, and what is missing."""

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from rich.console import Console

from orchestration.demo import curves
from orchestration.demo.animated_pictures import read
from orchestration.demo.figures import gather
from orchestration.demo.headlines import verdicts
from orchestration.demo.report import write
from orchestration.demo.summary import print_summary
from orchestration.demo.trainings import read_losses
from tests.support.demo_products import champion_id


@pytest.fixture(scope="module")
def made(finished_demo):
    return finished_demo


@pytest.fixture(scope="module")
def page(made):
    """The page of a complete demo."""
    return write(made).read_text()


@pytest.fixture
def outputs(made, tmp_path):
    """A copy that a test may damage."""
    root = made.out.parent
    shutil.copytree(root, tmp_path / "copy")

    def moved(path):
        return tmp_path / "copy" / path.relative_to(root)

    return type(made)(
        out=moved(made.out),
        datasets={name: moved(path) for name, path in made.datasets.items()},
        runs={stage: moved(path) for stage, path in made.runs.items()},
        evaluations={stage: moved(path) for stage, path in made.evaluations.items()},
        ledger=type(made.ledger)(moved(made.ledger.base)),
        root=moved(made.root),
    )


class Links(HTMLParser):
    """Everything a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "poster") and value]


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_page_shows_the_figures_of_the_evaluations(made, page):
    page = text_of(page)

    for stage, folder in made.evaluations.items():
        report = json.loads((folder / "report.json").read_text())
        assert f"{report['metrics']['first_frame_psnr']['value']:.1f} dB" in page, stage
        right = [row["metrics"]["direction"] for row in report["clips"]]
        assert f"{sum(right):.0f} of {len(right)}" in page
    assert "7 of 8" in page
    assert "95 % interval 53% to 98%" in page
    assert "231" in page
    assert "missing file: 1" in page
    assert champion_id(made)[:12] in page
    assert "has not been" not in page


def test_page_can_be_sent_alone(made, page):
    links = [link for link in Links(page).found if not link.startswith("http://127.0.0.1:5000/#/runs/")]
    assert len(links) > 30
    inside = [re.fullmatch(r"data:(video/mp4|image/png);base64,([\w+/=]+)", link) for link in links]
    assert all(inside)
    contents = {hashlib.sha256(base64.b64decode(found[2])).digest() for found in inside if found}
    files = [*(made.out / "media").glob("*.mp4"), *(made.out / "media").glob("*-input.png")]
    assert {hashlib.sha256(file.read_bytes()).digest() for file in files} <= contents
    own = page.replace("http://www.w3.org", "").replace("http://127.0.0.1:5000/", "")
    assert "http" not in own
    assert len(page) < 6_000_000
    gif = made.out / "readme.gif"
    assert 0 < gif.stat().st_size < 1_000_000


def test_every_clip_has_controls_and_a_description(page):
    clips = re.findall(r"<video [^>]*>", page)
    assert len(clips) > 20
    for clip in clips:
        assert " controls " in clip
        assert re.search(r'aria-label="[^"]+"', clip)
    pictures = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert pictures and not {"", "the picture", "input"} & set(pictures)


def test_clips_are_chosen_by_position_and_judged_by_the_report(made, page):
    rows = json.loads((made.evaluations[3] / "report.json").read_text())["clips"]
    for row in rows:
        clip = (made.out / "media" / f"{row['key']}-stage-3.mp4").read_bytes()
        assert base64.b64encode(clip).decode() in page
    wrong = [row for row in rows if row["metrics"]["direction"] == 0]
    assert len(wrong) == 1
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    found = opposite[wrong[0]["caption"].split()[-1]]
    assert f'<span class="no">moves {found}</span>' in page


def test_missing_results_are_listed_and_the_rest_is_displayed(outputs):
    shutil.rmtree(outputs.evaluations[3])
    shutil.rmtree(outputs.runs[1])
    (outputs.out / "animations" / "animations.json").unlink()

    page = text_of(write(outputs).read_text())

    assert f"Stage 3 has not been evaluated: {outputs.evaluations[3]} does not exist" in page
    assert "Stage 1 has not been trained" in page
    assert "No picture has been animated" in page
    assert "Stage 2, adaptation" in page
    output = io.StringIO()
    print_summary(outputs, Console(file=output, width=40))
    store = outputs.root / "mlflow.db"
    command = f".venv/bin/mlflow ui --backend-store-uri sqlite:///{store}"
    assert f"training runs     {command}" in output.getvalue().splitlines()
    assert "Stage 3 has not been evaluated" in output.getvalue()
    assert "stage 2: first frame" in output.getvalue()


def test_records_of_earlier_demos_are_read(outputs):
    record = outputs.out / "animations" / "animations.json"
    record.write_text(record.read_text().replace('"picture":', '"still":'))
    assert "No picture has been animated" not in write(outputs).read_text()
    assert read(outputs.out).clips[0].picture.startswith("images/")


def test_poor_results_are_called_poor(outputs):
    figures = gather(outputs)
    assert any("the whole interval is above chance" in line for line in verdicts(figures))
    assert any("closer to the picture, which is what" in line for line in verdicts(figures))
    figures.evaluations[3]["metrics"]["direction"]["low"] = 0.2
    for number, row in enumerate(figures.evaluations[3]["clips"]):
        row["metrics"]["first_frame_psnr"] -= 30
        row["metrics"]["dynamic_degree"] = float(number >= 3)
    sentences = verdicts(figures)
    assert any("does not demonstrably steer" in line for line in sentences)
    assert any("3 clips do not move and count as wrong" in line for line in sentences)
    assert any("detail guidance should have brought it closer" in line for line in sentences)
    figures.evaluations[3]["clips"] = [dict(row) for row in figures.evaluations[2]["clips"]]
    assert any("which may be chance" in line for line in verdicts(figures))


def test_repeated_steps_of_a_resumed_run_are_drawn_once(tmp_path):
    lines = [(5, 0.5), (10, 0.4), (5, 0.3), (10, 0.2)]
    (tmp_path / "journal.jsonl").write_text(
        "".join(
            json.dumps({"event": "metrics", "step": step, "metrics": {"train/loss": loss}}) + "\n"
            for step, loss in lines
        )
    )
    assert read_losses(tmp_path) == {5: 0.3, 10: 0.2}


def test_curves_take_the_pages_colours_and_are_reproducible():
    drawn = curves.svg([("Stage 1", {5: 0.5, 10: 0.4}), ("Stage 2", {5: 0.3})])
    assert "var(--accent)" in drawn
    assert "#03" not in drawn
    assert drawn == curves.svg([("Stage 1", {5: 0.5, 10: 0.4}), ("Stage 2", {5: 0.3})])
