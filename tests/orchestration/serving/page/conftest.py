"""A browser for the tests of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import Watched, chromium, watched
from tests.support.page_service import PageService, page_service
from tests.support.serving import picture as picture_of

expect.set_options(timeout=90_000)  # on a busy machine a clip takes a minute


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageService]:
    with page_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def service(running: PageService) -> Iterator[PageService]:
    """A service with a champion and a challenger; its gate is open before and after a test."""
    yield running
    running.gate.open()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Open the page of a service in a browser of its own; afterwards nothing went wrong in it."""
    opened: list[tuple[Watched, str]] = []

    def visiting(url: str, before: str = "", own: str = "", **options: Any) -> Watched:
        """``before``: a script that runs before those of the page; ``own``: the service, if not the URL."""
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        context.add_init_script(before)
        found = watched(context)
        found.page.goto(url)
        opened.append((found, own or url))
        return found

    yield visiting
    for found, url in opened:
        found.page.context.close()
        assert found.errors == []
        assert {
            each for each in found.requests if not each.startswith((url, "blob:", "data:", "about:"))
        } == set()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture in a file."""
    return _file(tmp_path / "picture.png", 0)


@pytest.fixture
def last_picture(tmp_path: Path) -> Path:
    """Another one."""
    return _file(tmp_path / "last.png", 1)


def _file(path: Path, seed: int) -> Path:
    path.write_bytes(picture_of(seed))
    return path
