"""The page in a real browser: answered by keyboard, reloaded, resumed, and its file scored."""

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.evaluate.study import MadeStudy, StudySettings, make_study
from pipelines.evaluate.study.answers import read_answers
from tests.support.browser import Page, chromium, find_chromium
from tests.support.studies import HOSTILE, write_reports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed: apt install chromium"),
]
SETTINGS = StudySettings(pairs=3, raters=2, attention=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    folder = tmp_path_factory.mktemp("page")
    reports = write_reports(folder, 3, captions=dict.fromkeys(range(3), HOSTILE))
    return make_study(reports, folder / "study", SETTINGS)


@pytest.fixture
def served(made: MadeStudy) -> Iterator[str]:
    """The page on a web server of this machine."""
    handler = functools.partial(QuietHandler, directory=str(made.page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


async def answer_pair(page: Page, keys: str | list[str]) -> None:
    """Answer the pair in view once its clips can be seen."""
    await page.wait("ready")
    for key in keys:
        await page.press(key)
    await page.press("Enter")


def test_a_rater_answers_by_keyboard_reloads_and_downloads_a_file_that_is_accepted(
    made: MadeStudy, tmp_path: Path
) -> None:
    rater = next(iter(made.key["raters"]))
    tasks = made.key["raters"][rater]
    address = f"{made.page.as_uri()}?rater={rater}"

    async def first_half() -> None:
        async with chromium(tmp_path / "profile") as page:
            await page.open(address)
            assert await page.evaluate("document.body.dataset.screen") == "welcome"
            await page.evaluate("find('code').focus()")
            await page.press("Enter")
            await answer_pair(page, ["ArrowLeft", "ArrowDown", "ArrowRight"])  # A, equal, B
            await page.wait("state.step === 1 && ready")
            await page.press("b")
            await page.press("Enter")  # two answers are missing
            assert await page.evaluate("[state.step, find('status').textContent].join()") == (
                "1,Answer the three questions first."
            )
            await page.press("Backspace")
            await page.wait("state.step === 0 && ready")
            await page.press("ArrowUp")
            await page.press("e")  # the second question again: equal
            await page.press("ArrowUp")
            await page.press("a")  # and now A
            await page.press("Enter")
            await page.wait("state.step === 1 && ready")
            await page.open(address)
            await page.wait("document.body.dataset.screen === 'rating' && ready")
            assert await page.evaluate("[state.step, current].join()") == "1,1"
            await answer_pair(page, "ae")
            await page.wait("state.step === 2")
            assert page.errors == [] and await page.evaluate("typeof attacked") == "undefined"
            assert {url.partition(":")[0] for url in page.requests} == {"file"}

    async def second_half() -> Path:
        """After the browser was closed."""
        async with chromium(tmp_path / "profile") as page:
            await page.open(address)
            await page.wait("document.body.dataset.screen === 'rating' && state.step === 2")
            for step in range(2, len(tasks)):
                await page.wait(f"state.step === {step}")
                await answer_pair(page, "abe")
            await page.wait("document.body.dataset.screen === 'finished'")
            assert page.errors == []
            return await page.download("find('download').click()", tmp_path)

    asyncio.run(first_half())
    path = asyncio.run(second_half())
    assert path.name == f"answers-{rater}.csv"
    answers = read_answers(path, made.key)
    given = [list(answers.answers[task["pair"]].values()) for task in tasks]
    assert given == [["A", "A", "B"], ["B", "A", "equal"], *[["A", "B", "equal"]] * 3]
    assert answers.median_seconds is not None


def test_the_page_works_from_a_web_server_and_where_nothing_can_be_stored(
    made: MadeStudy, served: str, tmp_path: Path
) -> None:
    """Progress is then in the page's address."""
    rater = list(made.key["raters"])[1]
    forbid = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } })"

    async def rate() -> str:
        async with chromium(tmp_path / "profile") as page:
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=forbid)
            await page.open(served)
            await page.evaluate("find('code').value = 'r01-nobody', find('start').requestSubmit()")
            assert "is no code of this study" in await page.evaluate("find('problem').textContent")
            await page.evaluate(f"find('code').value = ' {rater.upper()} ', find('start').requestSubmit()")
            await answer_pair(page, "aaa")
            await page.wait("state.step === 1")
            assert "keep this address" in await page.evaluate("find('notice').textContent")
            address = await page.evaluate("location.href")
            await page.open("about:blank")
            await page.open(address)
            await page.wait("document.body.dataset.screen === 'rating' && state.step === 1")
            for step in range(1, 5):
                await page.wait(f"state.step === {step}")
                await answer_pair(page, "eee")
            await page.wait("document.body.dataset.screen === 'finished'")
            assert page.errors == []
            assert {url.rsplit("/", 1)[0] for url in page.requests if url.startswith("http")} <= {
                served.rstrip("/"), f"{served}clips", f"{served}pictures",
            }  # fmt: skip
            return await page.evaluate("find('text').value")

    path = tmp_path / "copied.csv"
    path.write_text(asyncio.run(rate()))
    motion = [given["motion"] for given in read_answers(path, made.key).answers.values()]
    assert motion == ["A", "equal", "equal", "equal", "equal"]
