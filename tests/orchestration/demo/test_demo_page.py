"""The demo's page in a browser, and its parts: commands, lineage, figures by kind of footage."""

import dataclasses
import json
import re
import shutil

import pytest
from PIL import Image

from orchestration.demo.animated_pictures import read
from orchestration.demo.clip_kinds import REAL, RENDERED
from orchestration.demo.figures import gather
from orchestration.demo.headlines import headline, real_footage
from orchestration.demo.lineage_chain import HEIGHT, WIDTH, chain_of
from orchestration.demo.next_commands import next_commands
from orchestration.demo.readme_gif import write_readme_gif
from orchestration.demo.report import timeline, write
from orchestration.demo.step_timings import StepTime
from tests.support.browser import chromium, needs_chromium, watched
from tests.support.demo_products import champion_id, make_outputs


@pytest.fixture(scope="module")
def outputs(finished_demo):
    return finished_demo


@pytest.fixture(scope="module")
def figures(outputs):
    return gather(outputs)


@pytest.fixture(scope="module")
def page(outputs):
    return write(outputs)


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_clips_play_at_first_sight_and_nothing_is_wider_than_the_screen(page, width, scheme):
    with chromium() as browser:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        found = watched(context)
        found.page.goto(page.as_uri())
        found.page.wait_for_function("document.querySelector('video').currentTime > 0")
        assert found.page.evaluate("document.documentElement.scrollWidth") == width
        seen = "[...document.querySelectorAll('video')].filter(v => v.getBoundingClientRect().bottom <= 800)"
        assert found.page.evaluate(f"{seen}.length") >= (8 if width == 1280 else 2)
        assert not found.errors
        assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []


@needs_chromium
def test_commands_are_copied_whole_with_and_without_a_clipboard(page):
    with chromium() as browser:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        visit = watched(context).page
        visit.goto(page.as_uri())
        first = visit.locator(".commands .copied").first
        command = first.locator("pre").text_content()
        first.locator("button").click()
        visit.wait_for_function("document.querySelector('.copied button').textContent === 'Copied'")
        assert visit.evaluate("navigator.clipboard.readText()") == command

        second = visit.locator(".commands .copied").nth(1)
        visit.evaluate("delete Navigator.prototype.clipboard")
        second.locator("button").click()
        visit.wait_for_function("document.querySelectorAll('.copied button.done').length >= 1")
        assert visit.evaluate("getSelection().toString()") == second.locator("pre").text_content()


def test_figures_of_rendered_and_real_pictures_are_means_over_their_clips(outputs, figures):
    rows = json.loads((outputs.evaluations[3] / "report.json").read_text())["clips"]
    values = [row["metrics"]["first_frame_psnr"] for row in rows]
    kinds = figures.kinds[3]
    assert (kinds[RENDERED].n, kinds[REAL].n) == (len(rows) - 1, 1)
    assert kinds[RENDERED].first_frame.value == pytest.approx(sum(values[:-1]) / (len(rows) - 1))
    assert kinds[REAL].first_frame.value == pytest.approx(values[-1])
    labels = {item.label: item.value for item in headline(figures)}
    assert labels["first frame against pictures of real footage (PSNR)"] == f"{values[-1]:.1f} dB"


@pytest.mark.parametrize(
    ("decibel", "travel", "sentence"),
    [
        (24.0, 0.30, "what the pictures depict remains recognisable (24.0 dB); the clips move about as far"),
        (19.0, 0.10, "coarse shapes and colours remain, details are lost (19.0 dB); the clips move less"),
        (12.0, 0.60, "only colours remain (12.0 dB); the clips move more"),
    ],
)
def test_the_sentence_about_real_footage_follows_from_its_figures(figures, decibel, travel, sentence):
    kind = figures.kinds[3][REAL]
    values = {
        "first_frame": kind.first_frame._replace(value=decibel),
        "travel": travel,
        "travel_on_real": 0.3,
    }
    assert sentence in real_footage(type(kind)(kind=REAL, n=5, **values))


def test_without_the_table_of_footage_one_figure_covers_all_pictures(tmp_path):
    outputs = make_outputs(tmp_path, films=False)
    shutil.rmtree(outputs.out / "footage")
    figures = gather(outputs)
    labels = [item.label for item in headline(figures)]
    assert "first frame against the picture given (PSNR)" in labels
    assert not [label for label in labels if "real footage" in label]
    page = write(outputs).read_text()
    assert "Photographs and films" not in page
    assert "pictures of real footage" not in page


def test_commands_name_files_of_this_run(outputs, figures, page):
    commands = [each.command for each in next_commands(outputs, figures, read(outputs.out))]
    picture = re.search(r"make animate IMAGE=(\S+) PROMPT=\"[^\"]+\"$", commands[0])
    assert picture and picture[1].endswith(".png")
    assert (outputs.out / "images" / picture[1].rsplit("/", 1)[-1]).exists()
    assert "make serve" in commands
    assert f".venv/bin/mlflow ui --backend-store-uri sqlite:///{outputs.root / 'mlflow.db'}" in commands
    text = page.read_text()
    for stage in (1, 2, 3):
        assert f'href="http://127.0.0.1:5000/#/runs/{str(stage) * 32}"' in text


def test_without_a_champion_commands_name_the_bundle(outputs):
    figures = gather(outputs)
    assert figures.gate is not None
    figures.gate = figures.gate.model_copy(update={"outcome": "FAIL"})
    commands = [each.command for each in next_commands(outputs, figures, read(outputs.out))]
    assert commands[0].endswith(f"BUNDLE={outputs.runs[3] / 'bundle'}")
    assert "make serve" not in commands
    chain = chain_of(figures)
    assert chain is not None
    parts = {part.key: part for part in chain.parts}
    assert parts["gate"].tone == "bad"
    assert "champion" not in parts


def test_lineage_links_each_part_to_what_it_comes_from(outputs, figures):
    chain = chain_of(figures)
    assert chain is not None
    parts = {part.key: part for part in chain.parts}
    champion = parts["champion"]
    last = champion_id(outputs)
    assert champion.digest == last
    assert set(champion.sources) == {last, "gate"}
    titles = {part.title: part for part in chain.parts}
    assert "stage 2" in chain.titles(titles["stage 3"].sources)
    assert "stage 1" in chain.titles(titles["stage 2"].sources)
    assert chain.titles(titles["WebDataset shards"].sources) == ["training.csv"]
    corners = [(part.x, part.y) for part in chain.parts]
    assert len(set(corners)) == len(corners)
    assert all(x + WIDTH <= chain.width and y + HEIGHT <= chain.height for x, y in corners)
    known = sum(source in parts for part in chain.parts for source in part.sources)
    assert len(chain.lines) == known


def test_the_readme_picture_has_real_footage_beside_the_rows_of_four(outputs, page, tmp_path):
    with Image.open(outputs.out / "readme.gif") as gif:
        assert gif.n_frames == 8
        with_films = gif.size
    animations = read(outputs.out)
    rendered = animations.model_copy(update={"clips": [clip for clip in animations.clips if clip.expected]})
    write_readme_gif(outputs.out, rendered, tmp_path / "small.gif")
    with Image.open(tmp_path / "small.gif") as gif:
        assert gif.size[1] == with_films[1]
        assert gif.size[0] < 0.75 * with_films[0]
    assert (outputs.out / "readme.gif").stat().st_size <= 1_000_000


def test_time_is_drawn_by_step_and_part(figures):
    timed = dataclasses.replace(
        figures,
        times={
            "ingest": StepTime(seconds=10.0, complete=True),
            "stage 1": StepTime(seconds=30.0, complete=True, parts={"starting": 12.0, "training": 15.0}),
        },
    )
    rows = timeline(timed)
    assert [row.title for row in rows] == ["ingest", "stage 1, context"]
    assert [(part.name, part.began, part.share) for part in rows[1].parts] == [
        ("starting", 0.25, 0.3),
        ("training", pytest.approx(0.55), 0.375),
        ("", pytest.approx(0.925), 0.075),
    ]


def test_an_interrupted_demo_has_a_page(outputs, tmp_path):
    empty = type(outputs)(
        out=tmp_path / "demo",
        datasets={},
        runs={},
        evaluations={},
        ledger=type(outputs.ledger)(tmp_path),
        root=tmp_path,
    )
    text = write(empty).read_text()
    assert "Stage 1 has not been trained" in text
    assert "make demo IMAGE=my.png" in text
    assert '<svg class="chain"' not in text
