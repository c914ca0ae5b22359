"""The page in a real browser: answered by keyboard, reloaded, resumed, and its file scored."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pipelines.evaluate.study import MadeStudy, StudySettings, make_study
from pipelines.evaluate.study.answers import read_answers
from tests.support.browser import needs_chromium, profile, watched
from tests.support.studies import HOSTILE, write_reports

pytestmark = [pytest.mark.slow, needs_chromium]
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


def answer_pair(page: Page, keys: str | list[str]) -> None:
    """Answer the pair in view once its clips can be seen."""
    page.wait_for_function("ready")
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")


def test_a_rater_answers_by_keyboard_reloads_and_downloads_a_file_that_is_accepted(
    made: MadeStudy, tmp_path: Path
) -> None:
    rater = next(iter(made.key["raters"]))
    tasks = made.key["raters"][rater]
    address = f"{made.page.as_uri()}?rater={rater}"

    with profile(tmp_path / "profile") as context:
        browser = watched(context)
        page = browser.page
        page.goto(address)
        assert page.evaluate("document.body.dataset.screen") == "welcome"
        page.focus("#code")
        page.keyboard.press("Enter")
        answer_pair(page, ["ArrowLeft", "ArrowDown", "ArrowRight"])  # A, equal, B
        page.wait_for_function("state.step === 1 && ready")
        page.keyboard.press("b")
        page.keyboard.press("Enter")  # two answers are missing
        assert page.evaluate("[state.step, find('status').textContent].join()") == (
            "1,Answer the three questions first."
        )
        page.keyboard.press("Backspace")
        page.wait_for_function("state.step === 0 && ready")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("e")  # the second question again: equal
        page.keyboard.press("ArrowUp")
        page.keyboard.press("a")  # and now A
        page.keyboard.press("Enter")
        page.wait_for_function("state.step === 1 && ready")
        page.goto(address)
        page.wait_for_function("document.body.dataset.screen === 'rating' && ready")
        assert page.evaluate("[state.step, current].join()") == "1,1"
        answer_pair(page, "ae")
        page.wait_for_function("state.step === 2")
        assert browser.errors == [] and page.evaluate("typeof attacked") == "undefined"
        assert {url.partition(":")[0] for url in browser.requests} == {"file"}

    with profile(tmp_path / "profile") as context:  # the browser was closed
        browser = watched(context)
        page = browser.page
        page.goto(address)
        page.wait_for_function("document.body.dataset.screen === 'rating' && state.step === 2")
        for step in range(2, len(tasks)):
            page.wait_for_function(f"state.step === {step}")
            answer_pair(page, "abe")
        page.wait_for_function("document.body.dataset.screen === 'finished'")
        assert browser.errors == []
        with page.expect_download() as started:
            page.click("#download")
        assert started.value.suggested_filename == f"answers-{rater}.csv"
        path = tmp_path / "answers.csv"
        started.value.save_as(path)

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

    with profile(tmp_path / "profile") as context:
        browser = watched(context)
        page = browser.page
        page.add_init_script(forbid)
        page.goto(served)
        page.fill("#code", "r01-nobody")
        page.keyboard.press("Enter")
        assert "is no code of this study" in page.inner_text("#problem")
        page.fill("#code", f" {rater.upper()} ")
        page.keyboard.press("Enter")
        answer_pair(page, "aaa")
        page.wait_for_function("state.step === 1")
        assert "keep this address" in page.inner_text("#notice")
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        page.wait_for_function("document.body.dataset.screen === 'rating' && state.step === 1")
        for step in range(1, 5):
            page.wait_for_function(f"state.step === {step}")
            answer_pair(page, "eee")
        page.wait_for_function("document.body.dataset.screen === 'finished'")
        assert browser.errors == []
        assert {url.rsplit("/", 1)[0] for url in browser.requests if url.startswith("http")} <= {
            served.rstrip("/"), f"{served}clips", f"{served}pictures",
        }  # fmt: skip
        text = page.input_value("#text")

    path = tmp_path / "copied.csv"
    path.write_text(text)
    motion = [given["motion"] for given in read_answers(path, made.key).answers.values()]
    assert motion == ["A", "equal", "equal", "equal", "equal"]
