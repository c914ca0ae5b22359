"""The page of the service in a real browser: by keyboard, on a phone, in the dark, with less motion."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browser import Watched, needs_chromium
from tests.support.page_service import PageService
from tests.support.page_steps import ask, choose, finished, overflows

pytestmark = [pytest.mark.slow, needs_chromium]
Visit = Callable[..., Watched]

# Elements with text whose contrast with what is behind them is below WCAG's AA: 4.5, or 3 for large text.
_LOW_CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!(text || element.placeholder) || !element.checkVisibility() || element.closest(".unseen")) continue;
    if (element.disabled || element.closest("label")?.querySelector(":disabled")) continue;
    const style = getComputedStyle(element, element.placeholder ? "::placeholder" : null);
    const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.push(`${element.textContent.trim() || element.id}: ${contrast}`);
  }
  return found;
}
"""


def test_a_video_is_made_watched_and_saved_by_keyboard_alone(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    page.on("filechooser", lambda chooser: None)  # Playwright prepares for one now, not when a key is pressed
    expect(page.locator("#service")).to_have_text("Ready")
    assert _tab(page) == "Skip to the video"
    assert _tab(page) == "API"
    assert _tab(page) == "Picture"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(picture)
    expect(page.locator("#first .note p")).to_contain_text(picture.name)
    assert _tab(page) == "Remove"
    assert _tab(page) == "What happens"
    page.keyboard.type("a ball rolls")
    assert _tab(page) == "Open"
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Loop")).to_be_checked()
    assert [_tab(page) for _ in range(6)] == [
        "champion", "Seed", "New seed", "Another seed for every video", "Settings", "Create video",
    ]  # fmt: skip
    page.keyboard.press("Enter")
    finished(page)
    assert service.newest()["mode"] == "loop"
    while _tab(page) != "Download mp4":  # the player's own controls come before it
        assert page.evaluate("document.activeElement !== document.body")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_the_focus_goes_back_to_the_picture_that_is_removed(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    choose(page, picture)
    page.focus("#first [data-action=remove]")
    page.keyboard.press("Enter")
    expect(page.locator("#first input")).to_be_focused()
    expect(page.locator("#first img")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_its_text_has_contrast(
    service: PageService, visit: Visit, picture: Path, scheme: str
) -> None:
    size = {"width": 360, "height": 740}
    page = visit(service.url, viewport=size, has_touch=True, is_mobile=True, color_scheme=scheme).page
    expect(page.locator("#service")).to_have_text("Ready")
    page.locator("#settings > summary").tap()
    page.locator("#submit").tap()
    expect(page.locator("#first-problem")).to_be_visible()
    assert not overflows(page) and page.evaluate(_LOW_CONTRAST) == []
    small = page.evaluate(
        "() => [...document.querySelectorAll('button, summary, select, textarea, .segments span')]"
        ".filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 44)"
        ".map(each => each.textContent)"
    )
    assert small == []
    page.get_by_label("Compare").check()
    ask(page, picture, prompt="a" * 300)
    finished(page, 2)
    expect(page.locator("#stage")).to_be_in_viewport()
    assert not overflows(page) and page.evaluate(_LOW_CONTRAST) == []


def test_the_video_in_view_never_covers_earlier_ones(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url, viewport={"width": 1280, "height": 500}).page
    ask(page, picture)
    finished(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    stage, history = page.locator("#stage").bounding_box(), page.locator("#history").bounding_box()
    assert stage is not None and history is not None
    assert stage["y"] + stage["height"] <= history["y"]


def test_a_clip_does_not_play_by_itself_where_less_motion_is_wanted(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url, reduced_motion="reduce").page
    page.get_by_label("Compare").check()
    ask(page, picture)
    finished(page, 2)
    expect(page.locator(".controls button")).to_have_text("Play")
    page.get_by_label("champion", exact=True).check()
    page.click("#submit")
    finished(page)
    assert page.locator("[data-video]").evaluate("video => [video.paused, video.controls]") == [True, True]


def test_a_rotated_photo_is_upright(service: PageService, visit: Visit, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    pixels = Image.new("RGB", (640, 480), "red")
    pixels.paste("blue", (0, 0, 320, 480))  # stored at the left: at the top when upright
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned clockwise
    pixels.save(photo, exif=exif)
    page = visit(service.url).page
    choose(page, photo)
    expect(page.locator("#first .note p")).to_contain_text("480 × 640")
    assert _colours(page, "#first img") == ["blue", "red"]
    page.click("#submit")
    finished(page)
    thumbnail = page.locator("#history img")
    expect(thumbnail).to_be_visible()
    assert _colours(page, "#history img") == ["blue", "red"]


def test_a_picture_can_be_dropped_or_pasted_anywhere(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    expect(page.locator("#service")).to_have_text("Ready")
    give = """
      async ([bytes, kind, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        const event = kind === "drop"
          ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
          : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
        document.querySelector("h1").dispatchEvent(event);
      }
    """
    for kind in ("drop", "paste"):
        page.evaluate(give, [list(picture.read_bytes()), kind, f"{kind}.png"])
        expect(page.locator("#first .note p")).to_contain_text(f"{kind}.png")


def _tab(page: Page) -> str:
    """Go to what is next, which can be seen to have the focus: its name."""
    page.keyboard.press("Tab")
    return str(
        page.evaluate(
            """() => {
              const element = document.activeElement;
              const ring = [element, element.nextElementSibling, element.closest(".drop")]
                .some((each) => each && parseFloat(getComputedStyle(each).outlineWidth) >= 2
                  && getComputedStyle(each).outlineStyle !== "none");
              const box = element.getBoundingClientRect();
              const seen = box.bottom > 0 && box.top < window.innerHeight;
              if (!ring || !seen) return `${element.outerHTML} is not visibly focused`;
              const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent;
              return (label ?? element.textContent).trim();
            }"""
        )
    )


def _colours(page: Page, selector: str) -> list[str]:
    """Names of the colours at the top and at the bottom of a picture."""
    pixels = page.locator(selector).evaluate(
        """image => {
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [2, 4];
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0, 2, 4);
          return [0, 3].map((row) => [...context.getImageData(0, row, 1, 1).data.slice(0, 3)]);
        }"""
    )
    return ["red" if red > blue else "blue" for red, _, blue in pixels]
