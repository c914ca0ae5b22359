"""A headless Chromium, driven by Playwright; nothing here waits for a fixed time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

_OPTIONS = ("--no-sandbox", "--mute-audio")
_TIMEOUT_MS = 120_000  # on a busy machine, Playwright's own 30 s are too few


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, if one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="Chromium is not installed: apt install chromium"
)


@dataclass
class Watched:
    """A page, and what went wrong in it.

    Attributes:
        errors: exceptions of scripts, and errors in the console except for answers with a status of an error.
        requests: URLs.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, for a module or a test: asyncio cannot run in this thread meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=_OPTIONS)
        yield browser
        browser.close()


@contextmanager
def profile(folder: Path) -> Iterator[BrowserContext]:
    """A browser with its profile in this folder: what pages store is still there the next time."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=find_chromium(), args=_OPTIONS
        )
        yield context
        context.close()


def watched(context: BrowserContext) -> Watched:
    """A new page of a context."""
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    found = Watched(page)

    def console(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            found.errors.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    return found
