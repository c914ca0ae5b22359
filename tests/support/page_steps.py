"""What a person does on the page of the service."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect


def choose(page: Page, path: Path, field: str = "first") -> None:
    """Choose a picture that can be used."""
    page.set_input_files(f"#{field} input", path)
    expect(page.locator(f"#{field} .note p")).to_contain_text(path.name)


def ask(page: Page, picture: Path, prompt: str = "a ball rolls", **settings: str) -> None:
    """Fill in the form, and create a video."""
    expect(page.locator("#service")).to_have_text("Ready")
    choose(page, picture)
    page.fill("#prompt", prompt)
    fill(page, **settings)
    page.click("#submit")


def fill(page: Page, **settings: str) -> None:
    """Set settings by their names in the API."""
    if any(name != "seed" for name in settings) and not page.locator("#settings[open]").count():
        page.click("#settings > summary")
    for name, value in settings.items():
        page.fill(f"#{name}", value)


def status(page: Page) -> Locator:
    """The line that states how far the video in view is."""
    return page.locator("[data-status]").first


def finished(page: Page, videos: int = 1) -> None:
    """Wait until the videos in view can be seen."""
    expect(page.locator("[data-video]:visible")).to_have_count(videos)
    expect(page.locator(".finished:visible")).to_have_count(videos)


def fact(page: Page, name: str, result: int = 0) -> str:
    """A setting of a video in view."""
    facts = page.locator(".result").nth(result).locator("dl")
    return facts.locator("dt", has_text=re.compile(f"^{re.escape(name)}$")).locator("+ dd").inner_text()


def overflows(page: Page) -> bool:
    """Whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
