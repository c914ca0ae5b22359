"""The page of the service in a real browser: from a picture to a clip that plays and is saved."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import Watched, needs_chromium
from tests.support.page_service import PageService, page_service
from tests.support.page_steps import ask, fact, finished

pytestmark = needs_chromium


@pytest.fixture
def small_service(tmp_path: Path) -> Iterator[PageService]:
    """One without a challenger, which starts faster."""
    with page_service(tmp_path, names=("champion",)) as service:
        yield service


def test_a_picture_becomes_a_clip_that_plays_and_is_saved(
    small_service: PageService, visit: Callable[..., Watched], picture: Path
) -> None:
    service = small_service
    page = visit(service.url).page
    ask(page, picture, seed="42")
    finished(page)
    clip = page.locator("[data-video]")
    assert clip.evaluate("video => [video.loop, video.muted, video.videoWidth > 0]") == [True, True, True]
    expect(clip).to_have_js_property("paused", False)
    assert fact(page, "Seed") == "42"

    video = service.newest()
    assert (video["prompt"], video["seed"], video["model"]) == ("a ball rolls", 42, "champion")
    with page.expect_download() as saved:
        page.click("text=Download mp4")
    assert saved.value.suggested_filename == "animatic-champion-42.mp4"
    assert Path(saved.value.path()).read_bytes() == service.content(video["id"])
