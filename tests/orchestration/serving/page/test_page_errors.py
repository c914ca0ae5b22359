"""The page of the service in a real browser: what goes wrong is explained, and can be done again."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from tests.support.browser import Watched, needs_chromium
from tests.support.page_service import PageService, page_service
from tests.support.page_steps import ask, choose, finished, status

pytestmark = [pytest.mark.slow, needs_chromium]
Visit = Callable[..., Watched]


def test_a_full_queue_is_explained_and_the_same_request_sent_again(
    visit: Visit, picture: Path, tmp_path: Path
) -> None:
    with page_service(tmp_path, queue=1) as service:
        service.gate.close(after=1)
        page, other = visit(service.url).page, visit(service.url).page
        ask(page, picture)
        service.gate.wait()
        ask(page, picture)
        expect(page.locator("#history li")).to_have_count(2)
        ask(other, picture)
        expect(other.locator("#refused")).to_contain_text("Too many videos are waiting.")
        again = other.locator("#refused button")
        expect(again).to_have_text(re.compile(r"^Try again in \d+ s$"))
        expect(again).to_be_disabled()
        service.gate.open()
        finished(page)
        expect(again).to_be_enabled()
        again.click()
        finished(other)
        expect(other.locator("#refused")).to_be_hidden()


def test_pictures_that_cannot_be_used_are_explained_before_they_are_uploaded(
    service: PageService, visit: Visit, picture: Path, tmp_path: Path
) -> None:
    browser = visit(service.url)
    page = browser.page
    expect(page.locator("#service")).to_have_text("Ready")
    problem = page.locator("#first-problem")
    page.click("#submit")
    expect(problem).to_have_text("Choose a picture first.")
    for name, content, text in (
        ("letter.jpg", b"%PDF-1.7", "This is not a picture in PNG, JPEG or WebP format."),
        ("IMG_1.HEIC", b"\0\0\0\x18ftypheic", "On an iPhone, share it as JPEG"),
        ("half.png", picture.read_bytes()[:40], "This picture is damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#first input", tmp_path / name)
        expect(problem).to_contain_text(text)
        page.click("#submit")
    assert not any(url.endswith("/v1/videos") for url in browser.requests)
    choose(page, picture)
    expect(problem).to_be_hidden()


def test_a_picture_that_is_too_large_is_scaled_down_if_its_owner_agrees(
    service: PageService, visit: Visit, tmp_path: Path
) -> None:
    page = visit(service.url).page
    expect(page.locator("#service")).to_have_text("Ready")
    large = tmp_path / "large.png"
    Image.new("RGB", (5000, 4000), "navy").save(large)
    page.set_input_files("#first input", large)
    expect(page.locator("#first-problem")).to_have_text(
        "This picture has 20 megapixels, and 16 megapixels are allowed."
    )
    page.click("#first [data-action=scale]")
    expect(page.locator("#first .note p")).to_contain_text("large-scaled.jpg · 4427 × 3541")
    expect(page.locator("#first-problem")).to_be_hidden()
    page.click("#submit")
    finished(page)


def test_what_the_service_refuses_is_explained_at_the_field(
    service: PageService, visit: Visit, tmp_path: Path
) -> None:
    """The browser displays what there is of a truncated JPEG."""
    page = visit(service.url).page
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((300, 200), 50).convert("RGB").save(whole)
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ask(page, truncated)
    expect(page.locator("#first-problem")).to_contain_text("The picture cannot be used.")
    expect(page.locator("#history")).to_be_hidden()


def test_a_service_that_is_away_is_waited_for_and_nothing_is_made_twice(
    visit: Visit, picture: Path, tmp_path: Path
) -> None:
    with page_service(tmp_path) as service:
        page = visit(service.url).page
        service.gate.close(after=5)
        ask(page, picture, num_inference_steps="8")
        service.gate.wait()
        expect(status(page)).to_have_text(re.compile("^Step 4 of 8"))
        service.down()
        expect(page.locator("[data-connection]")).to_have_text("The service does not answer. Trying again …")
        service.gate.open()
        service.up()
        finished(page)
        expect(page.locator("[data-connection]")).to_be_hidden()

        service.down()
        page.fill("#prompt", "another")
        page.click("#submit")
        expect(page.locator("#refused")).to_contain_text("The service does not answer.")
        service.up()
        page.click("#refused button")
        expect(page.locator("#history li")).to_have_count(2)
        finished(page)
        assert [video["prompt"] for video in service.videos()] == ["another", "a ball rolls"]


def test_a_lost_answer_makes_no_second_video_unless_the_request_is_another(
    service: PageService, visit: Visit, picture: Path
) -> None:
    lose = """
      const whole = window.fetch;
      window.fetch = async (url, options) => {
        const answer = await whole(url, options);
        if (options.method === "POST" && window.losing-- > 0) throw new TypeError("lost");
        return answer;
      };
    """
    page = visit(service.url, before=lose).page
    before = len(service.videos())
    page.evaluate("window.losing = 1")
    ask(page, picture)
    expect(page.locator("#refused")).to_contain_text("The service does not answer.")
    assert len(service.videos()) == before + 1
    page.click("#refused button")
    finished(page)
    assert len(service.videos()) == before + 1

    page.evaluate("window.losing = 1")
    page.click("#submit")
    expect(page.locator("#refused")).to_contain_text("The service does not answer.")
    lost = service.newest()["seed"]
    page.click("#new-seed")
    page.click("#submit")
    expect(page.locator("#history li")).to_have_count(2)
    finished(page)
    assert len(service.videos()) == before + 3 and service.newest()["seed"] != lost


def test_a_service_that_has_no_model_yet_is_waited_for(
    service: PageService, visit: Visit, picture: Path
) -> None:
    starting: list[Route] = []

    def empty(route: Route) -> None:
        starting.append(route)
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "data": []})

    browser = visit("about:blank", own=service.url)
    page = browser.page
    page.route("**/v1/models", empty, times=1)
    page.goto(service.url)
    expect(page.locator("#service")).to_have_text("Loading the model …")
    choose(page, picture)
    page.click("#submit")
    expect(page.locator("#refused")).to_contain_text("The service is not ready yet.")
    expect(page.locator("#service")).to_have_text("Ready")
    page.click("#refused button")
    finished(page)
    assert len(starting) == 1


def test_a_key_is_asked_for_checked_and_kept_in_its_tab(visit: Visit, picture: Path, tmp_path: Path) -> None:
    with page_service(tmp_path, keys=True) as service:
        page = visit(service.url).page
        expect(page.locator("#service")).to_have_text("Needs a key")
        page.fill("#key", "not-a-key")
        page.press("#key", "Enter")
        expect(page.locator("#key-problem")).to_contain_text("This API key is not valid.")
        page.fill("#key", service.key)
        page.press("#key", "Tab")
        ask(page, picture)
        finished(page)
        with page.expect_download() as saved:
            page.click("text=Download mp4")
        assert Path(saved.value.path()).read_bytes()[4:8] == b"ftyp"
        page.reload()
        expect(page.locator("#service")).to_have_text("Ready")
        assert service.key not in page.evaluate("JSON.stringify(localStorage)")
        page.click("#history button")
        page.click("text=Copy as curl")
        assert "$ANIMATIC_KEY" in page.inner_text("[data-curl]")
        assert service.key not in page.inner_text("[data-curl]")


def test_the_page_works_where_nothing_can_be_stored(
    service: PageService, visit: Visit, picture: Path
) -> None:
    forbid = (
        "for (const kind of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, kind, { get() { throw new Error('forbidden'); } })"
    )
    page = visit(service.url, before=forbid).page
    ask(page, picture)
    finished(page)
    expect(page.locator("#history li")).to_have_count(1)
