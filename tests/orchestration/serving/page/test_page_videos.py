"""The page of the service in a real browser: videos of every kind, and what can be done with them."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Watched, needs_chromium
from tests.support.page_service import PageService
from tests.support.page_steps import ask, choose, fact, fill, finished, status
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, needs_chromium]
Visit = Callable[..., Watched]


def test_progress_survives_a_reload_and_others_see_their_turn_in_the_queue(
    service: PageService, visit: Visit, picture: Path
) -> None:
    service.gate.close(after=5)  # before the engine learns of the fifth step
    page, other = visit(service.url).page, visit(service.url).page
    ask(page, picture, num_inference_steps="8")
    service.gate.wait()
    expect(status(page)).to_have_text(re.compile(r"^Step 4 of 8( · .+ left)?$"))
    expect(page.locator("[data-progress]")).to_have_js_property("value", 50)
    expect(page.locator("#live")).to_have_text(re.compile("^champion: Step 4 of 8"))

    ask(other, picture)
    expect(status(other)).to_have_text("Waiting: number 1 in the queue")

    page.reload()
    expect(status(page)).to_have_text(re.compile("^Step 4 of 8"))
    service.gate.open()
    finished(page)
    finished(other)
    assert fact(page, "Steps") == "8"


def test_cancelling_stops_the_work_at_the_next_step(
    service: PageService, visit: Visit, picture: Path
) -> None:
    service.gate.close(after=1)
    page = visit(service.url).page
    ask(page, picture)
    service.gate.wait()
    page.click("text=Cancel")
    expect(status(page)).to_have_text("Cancelling after this step …")
    service.gate.open()
    expect(page.locator("[data-over]")).to_have_text("Cancelled")
    assert service.newest()["status"] == "cancelled"
    expect(page.locator("#history li")).to_contain_text("cancelled")


def test_two_models_are_compared_side_by_side_and_in_step(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    page.get_by_label("Compare").check()
    ask(page, picture, seed="7")
    finished(page, 2)
    bundles = {model["id"]: model["bundle"]["id"] for model in service.models()}
    names = page.locator(".result h3")
    expect(names).to_have_text([f"{name} · {bundles[name][:8]}" for name in ("champion", "challenger")])
    videos = service.videos()[:2]
    assert {video["model"] for video in videos} == {"champion", "challenger"}
    assert videos[0]["seed"] == videos[1]["seed"] == 7
    assert videos[0]["content"]["sha256"] != videos[1]["content"]["sha256"]

    def times() -> list[float]:
        found = page.evaluate("[...document.querySelectorAll('[data-video]')].map(each => each.currentTime)")
        return [round(each, 3) for each in found]

    page.click(".controls button")
    expect(page.locator(".controls button")).to_have_text("Play")
    assert len(set(times())) == 1
    slider = page.get_by_label("Frame", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator(".controls output")).to_have_text(re.compile(r"^1 / \d+$"))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".controls output")).to_have_text(re.compile(r"^2 / \d+$"))
    first, second = times()
    assert first == second == round(1.5 / videos[0]["fps"], 3)
    page.click(".controls button")
    expect(page.locator("[data-video]").last).to_have_js_property("paused", False)
    side = [box["y"] for box in (names.first.bounding_box(), names.last.bounding_box()) if box]
    assert side[0] == side[1]


def test_a_clip_loops_or_ends_at_a_last_picture(
    service: PageService, visit: Visit, picture: Path, last_picture: Path
) -> None:
    page = visit(service.url).page
    page.get_by_label("Loop").check()
    ask(page, picture)
    finished(page)
    assert service.newest()["mode"] == "loop"

    page.get_by_role("radio", name="Last picture").check()
    page.click("#submit")
    expect(page.locator("#last-problem")).to_have_text("Choose the picture that the video ends at.")
    choose(page, last_picture, "last")
    expect(page.locator("#last-problem")).to_be_hidden()
    page.click("#submit")
    expect(page.locator("#history li")).to_have_count(2)
    finished(page)
    assert service.newest()["mode"] == "interpolate"


def test_settings_have_the_limits_and_defaults_of_the_model(
    service: PageService, visit: Visit, picture: Path
) -> None:
    browser = visit(service.url)
    page = browser.page
    expect(page.locator("#service")).to_have_text("Ready")
    model = service.models()[0]
    assert page.get_attribute("#num_inference_steps", "placeholder") == str(
        model["defaults"]["num_inference_steps"]
    )
    choose(page, picture)
    fill(page, num_frames=str(model["limits"]["max_frames"] + 1))
    page.click("#settings > summary")
    page.click("#submit")  # the settings open where one of them is wrong
    expect(page.locator("#num_frames")).to_be_focused()
    assert browser.requests.count(f"{service.url}v1/videos") == 0
    fill(page, num_frames=str(model["limits"]["min_frames"] + 3), num_inference_steps="3", fps="6")
    page.click("#submit")
    finished(page)
    video = service.newest()
    assert (video["num_frames"], video["num_inference_steps"], video["fps"]) == (
        model["limits"]["min_frames"] + 3, 3, 6,
    )  # fmt: skip
    expect(page.locator("#changed")).to_have_text("· 3 changed")
    page.click("#defaults")
    expect(page.locator("#changed")).to_have_text("")


def test_a_solver_is_chosen_among_those_of_the_model_and_named_with_the_video(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    expect(page.locator("#service")).to_have_text("Ready")
    offered = page.locator("#solver option")
    expect(offered).to_have_text(["DDIM (default)", "DPM-Solver++", "UniPC", "SDE-DPM-Solver++"])
    page.click("#settings > summary")
    page.select_option("#solver", "unipc")
    expect(page.locator("#eta-hint")).to_have_text("This solver sets it: leave it open.")
    ask(page, picture, num_inference_steps="2", eta="0.5")
    expect(page.locator("#eta:invalid, #solver:invalid")).to_have_count(1)  # the service refused it
    page.fill("#eta", "")
    page.select_option("#solver", "unipc")
    page.click("#submit")
    finished(page)
    video = service.newest()
    assert (video["solver"], video["eta"], video["num_inference_steps"]) == ("unipc", 0.0, 2)
    assert fact(page, "Solver") == "UniPC"

    page.click("#defaults")
    expect(page.locator("#eta-hint")).to_have_text("0: none is added between steps.")
    page.click("text=Again with this seed")
    expect(page.locator("#solver")).to_have_value("unipc")


def test_a_seed_is_used_again_for_the_same_clip(
    service: PageService, visit: Visit, picture: Path, last_picture: Path
) -> None:
    page = visit(service.url).page
    ask(page, picture)
    finished(page)
    first = service.newest()
    assert page.input_value("#seed") != str(first["seed"])  # another seed for every video
    choose(page, last_picture)
    page.click("text=Again with this seed")
    expect(page.locator("#submit")).to_be_focused()
    expect(page.locator("#first .note p")).to_contain_text(picture.name)
    assert page.input_value("#seed") == str(first["seed"])
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(2)
    finished(page)
    again = service.newest()
    assert again["id"] != first["id"]
    assert again["content"]["sha256"] == first["content"]["sha256"]


def test_the_curl_line_makes_the_same_clip(
    service: PageService, visit: Visit, picture: Path, tmp_path: Path
) -> None:
    page = visit(service.url).page
    named = tmp_path / 'it\'s; a, "picture".png'
    named.write_bytes(picture.read_bytes())
    ask(page, named, prompt="@a 'ball' rolls; $HOME", seed="5", num_frames="4")
    finished(page)
    first = service.newest()
    page.click("text=Copy as curl")
    expect(page.locator("[data-done]")).to_have_text("Copied.")
    line = page.evaluate("navigator.clipboard.readText()")
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, capture_output=True)
    again = service.ended(service.newest()["id"])
    assert again["id"] != first["id"] and again["prompt"] == first["prompt"] == "@a 'ball' rolls; $HOME"
    assert again["content"]["sha256"] == first["content"]["sha256"]


def test_earlier_videos_are_listed_opened_saved_as_gif_and_deleted(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    for prompt in ("first", "second"):
        ask(page, picture, prompt=prompt)
        expect(page.locator("#history li").first).to_contain_text(prompt)
        finished(page)
    page.reload()
    expect(page.locator("#history li")).to_have_count(2)
    _open(page, "first")
    finished(page)
    assert fact(page, "Sentence") == "first"
    with page.expect_download() as saved:
        page.click("text=Download GIF")
    assert Path(saved.value.path()).read_bytes()[:6] == b"GIF89a"

    ids = {video["prompt"]: video["id"] for video in service.videos()[:2]}
    page.click("[data-action=delete]")
    expect(page.locator("[data-action=delete]")).to_have_text("Really delete?")
    page.click("[data-action=delete]")
    expect(page.locator("#history li")).to_have_count(1)
    assert ids["first"] not in {video["id"] for video in service.videos()}
    service.delete(ids["second"])  # by someone else
    _open(page, "second")
    expect(page.locator("[data-failure]")).to_contain_text("The service does not know this video.")
    expect(page.locator("#history li")).to_contain_text("not on the service any more")


def test_a_video_whose_time_is_over_is_called_expired(
    service: PageService, visit: Visit, picture: Path
) -> None:
    page = visit(service.url).page
    ask(page, picture)
    finished(page)
    service.let_pass(25)
    wait_until(lambda: service.newest()["status"] == "expired")
    page.reload()
    expect(page.locator("#history li")).to_contain_text("expired: its files were removed")
    _open(page, "a ball rolls")
    expect(page.locator("[data-over]")).to_have_text("Expired: its files were removed")
    expect(page.locator("text=Again with this seed")).to_be_visible()
    expect(page.locator("text=Download mp4")).to_be_hidden()


def _open(page: Page, prompt: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{prompt}")).click()
