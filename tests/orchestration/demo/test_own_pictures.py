"""The user's own picture in the demo: what is accepted, what is kept of it, and when it is animated again."""

import errno
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from core.errors import AnimaticError
from core.lock import LockedError, named_lock
from models.bundle import open_bundle
from models.diffusion.settings import SamplingSettings
from orchestration.demo import animated_pictures, films, jobs, own_pictures, photographs, steps
from orchestration.demo.animated_pictures import Inputs
from orchestration.demo.collection import Collection
from orchestration.demo.footage import encode
from orchestration.demo.jobs import StepResult
from orchestration.demo.own_pictures import GivenPicture, open_given, shortened, store
from orchestration.demo.report import write
from orchestration.demo.settings import Settings
from orchestration.demo.summary import print_summary
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.demo_products import make_outputs
from tests.support.small_stages import make_bundle

PROMPT = "a red ball moves left"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage-3") / "bundle"
    make_bundle(folder)
    return open_bundle(folder)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A JPEG with a position in its metadata, saved turned by 180 degrees: dark at the top when upright."""
    pixels = np.full((90, 160, 3), 200, np.uint8)
    pixels[60:] = 20
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010E] = "taken at home"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    Image.fromarray(pixels).save(tmp_path / "Händel & Söhne.jpg", exif=exif)
    return tmp_path / "Händel & Söhne.jpg"


def given(path: Path, prompt: str = PROMPT) -> GivenPicture:
    opened = open_given(path, prompt)
    assert opened is not None
    return opened


def inputs(out: Path, bundle, seed: int = 0) -> Inputs:
    return Inputs(out, bundle, SamplingSettings(steps=1, seed=seed), Collection(out / "footage"))


def animate(inputs: Inputs) -> int:
    """Animate what is missing; returns how many clips that were."""
    left = animated_pictures.left_to_do(inputs)
    if left.work:
        animated_pictures.animate(inputs, left, lambda done, total: None, lambda message: None)
    return len(left.work)


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".json"}


def test_the_copy_is_upright_and_square_and_has_no_metadata(tmp_path, photo):
    original = photo.read_bytes()

    own = store(tmp_path / "demo", given(photo))

    copy = tmp_path / "demo" / own.picture
    with Image.open(copy) as picture:
        assert picture.size == (90, 90)
        assert picture.mode == "RGB"
        assert not picture.getexif() and not picture.info
        pixels = np.asarray(picture)
    assert pixels[:20].max() < 60 and pixels[40:].min() > 160
    assert b"taken at home" not in copy.read_bytes()
    assert photo.read_bytes() == original


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (4000, 2), (1500, 900)])
def test_pictures_of_every_shape_are_copied(tmp_path, size):
    Image.new("L", size, 90).save(tmp_path / "a.png")
    own = store(tmp_path, given(tmp_path / "a.png"))
    with Image.open(tmp_path / own.picture) as picture:
        assert picture.size == (min(512, *size),) * 2


def test_the_newest_comes_first_and_a_deleted_copy_is_forgotten(tmp_path, photo):
    for prompt in ("a", "b", "a"):
        store(tmp_path, given(photo, prompt))
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    other = store(tmp_path, given(tmp_path / "other.png", "b"))
    assert [each.prompt for each in own_pictures.recorded(tmp_path)] == ["b", "a", "b"]
    (tmp_path / other.picture).unlink()
    assert [each.prompt for each in own_pictures.recorded(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "no image at missing.png"),
        ("empty.png", b"", "empty.png is not an image in PNG, JPEG or WebP"),
        ("clip.mp4", b"\0\0\0\x20ftypisom" + bytes(64), "clip.mp4 is not an image in PNG, JPEG or WebP"),
        ("cut.jpg", "cut", "cut.jpg cannot be read as an image"),
        (".", None, ".: Is a directory; choose another path: this one is a folder"),
        ("https://host/my.png", None, "https://host/my.png is a URL, but this is read from a local path"),
    ],
)
def test_a_picture_that_cannot_be_used_is_an_error_before_anything_is_written(
    tmp_path, photo, monkeypatch, name, content, message
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(photo.read_bytes()[:600] if content == "cut" else content)
    fails(message, "demo", "--image", name, "--prompt", PROMPT)
    assert not (tmp_path / "runs").exists()


def test_picture_and_prompt_are_given_together(tmp_path, photo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails('Give --prompt, such as "a red ball moves left"', "demo", "--image", photo)
    fails("--prompt is without effect without --image", "demo", "--prompt", PROMPT)
    for empty in ("", " \n"):
        assert run("demo", "--image", photo, "--prompt", empty).exit_code == 2
    assert not (tmp_path / "runs").exists()


def test_only_a_new_picture_or_prompt_is_animated_in_a_further_call(tmp_path, photo, bundle):
    out = tmp_path / "demo"
    work = inputs(out, bundle)
    store(out, given(photo))
    held_out = animate(work) - 1
    before = times(out / "animations")
    assert held_out > 0
    assert animate(work) == 0

    store(out, given(photo, "a blue star moves up"))
    assert animate(work) == 1

    made = animated_pictures.read(out)
    assert [each.prompt for each in made.own] == ["a blue star moves up", PROMPT]
    assert [each.expected for each in made.own] == ["up", "left"]
    assert len({each.mp4 for each in made.own}) == 2
    assert len(made.clips) == held_out
    after = times(out / "animations")
    assert {name: after[name] for name in before} == before

    store(out, given(photo))  # an earlier one again
    assert animate(work) == 0
    assert animated_pictures.read(out).own[0].prompt == PROMPT
    (out / made.own[0].gif).unlink()
    assert animate(work) == 1
    assert animate(inputs(out, bundle, seed=1)) == held_out + 2
    (out / made.own[0].picture).unlink()
    assert animate(inputs(out, bundle, seed=1)) == 0
    assert animated_pictures.read(out).own == []


def test_an_animation_does_not_depend_on_what_else_is_animated(tmp_path, photo, bundle):
    folders = [tmp_path / "together", tmp_path / "alone"]
    store(folders[0], given(photo))
    animate(inputs(folders[0], bundle))
    animate(inputs(folders[1], bundle))
    store(folders[1], given(photo))
    assert animate(inputs(folders[1], bundle)) == 1

    strips = []
    for folder in folders:
        made = animated_pictures.read(folder)
        strips.append(np.asarray(Image.open(folder / made.own[0].strip)).astype(int))
    assert np.abs(strips[0] - strips[1]).max() <= 1


def test_page_and_summary_begin_with_the_newest_picture(tmp_path, photo, bundle):
    outputs = make_outputs(tmp_path / "made", clips=4, films=False)
    prompt = "a <b>bold</b> ball\nmoves left " + "and so on " * 1000
    store(outputs.out, given(photo))
    store(outputs.out, given(photo, prompt))
    warnings: list[str] = []
    work = inputs(outputs.out, bundle)
    animated_pictures.animate(
        work, animated_pictures.left_to_do(work), lambda done, total: None, warnings.append
    )

    page = write(outputs).read_text()
    output = io.StringIO()
    print_summary(outputs, Console(file=output, width=40))

    assert page.index("Your own pictures") < page.index("a &lt;b&gt;bold") < page.index(PROMPT)
    assert page.index(PROMPT) < page.index("Each row starts from one held-out picture")
    assert "<b>bold" not in page
    assert "Händel &amp; Söhne.jpg" in page
    assert own_pictures.OWN_LIMIT in page
    newest = animated_pictures.read(outputs.out).own[0]
    lines = output.getvalue().splitlines()
    assert re.match(r"Händel & Söhne.jpg, “a <b>bold</b> ball moves left and .*…”: first frame \d", lines[0])
    assert lines[1] == own_pictures.OWN_LIMIT
    assert ["your animation", str(outputs.out / newest.mp4)] in [re.split("  +", line) for line in lines]
    assert len(warnings) == 1 and "more than the 77 tokens" in warnings[0]


def test_a_prompt_is_displayed_as_one_line():
    assert shortened(" two\n\tlines ") == "“two lines”"
    assert len(shortened("x" * 10_000)) == 202


@pytest.fixture
def quick_steps(monkeypatch) -> None:
    """Every step is done at once, and there is nothing to summarise."""
    monkeypatch.setattr(
        steps, "all_steps", lambda: [steps.Step("report", (), 1, lambda demo: StepResult(demo.out, "", True))]
    )
    monkeypatch.setattr("orchestration.demo.summary.print_summary", lambda outputs, console: None)


def test_a_demo_that_is_started_twice_is_refused(tmp_path, photo, quick_steps):
    out, console = tmp_path / "demo", Console(file=io.StringIO())
    with named_lock(out / ".lock", "demo"), pytest.raises(LockedError, match=r"another demo \(process"):
        steps.run(out, console, console, picture=given(photo), workspace=Workspace(tmp_path))
    assert own_pictures.recorded(out) == []
    steps.run(out, console, console, picture=given(photo), workspace=Workspace(tmp_path))
    assert len(own_pictures.recorded(out)) == 1


def test_a_folder_that_cannot_be_written_to_is_reported_at_once(tmp_path, quick_steps):
    (tmp_path / "file").touch()
    with pytest.raises(AnimaticError, match="cannot be written to: Not a directory; choose another path"):
        steps.run(tmp_path / "file" / "demo", Console(), Console(), workspace=Workspace(tmp_path))


def test_a_full_disk_is_an_error_of_one_line(tmp_path, photo, quick_steps, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as Pillow's, without a path

    monkeypatch.setattr(own_pictures, "write_png", full)
    with pytest.raises(
        AnimaticError, match=r"the demo cannot be written to .*: No space left on device; .* are free"
    ):
        steps.run(tmp_path, Console(), Console(), picture=given(photo), workspace=Workspace(tmp_path))


def test_the_time_of_a_further_picture_is_not_that_of_the_step(tmp_path, photo, bundle, monkeypatch):
    monkeypatch.setattr(jobs, "open_bundle", lambda folder: bundle)
    workspace, console = Workspace(tmp_path), Console(file=io.StringIO())
    progress = jobs.Demo(tmp_path / "demo", workspace, Settings(sampling_steps=1), _progress(console))
    progress.products["stage 3"] = tmp_path
    assert jobs.animate_pictures(progress).whole
    store(tmp_path / "demo", given(photo))
    further = jobs.animate_pictures(progress)
    assert (further.fresh, further.whole) == (True, False)
    assert further.summary.startswith("1 clip in ")
    assert not jobs.animate_pictures(progress).fresh


def _progress(console: Console):
    from orchestration.demo.progress import DemoProgress

    return DemoProgress(console, [1.0])


def test_held_out_pictures_are_those_that_the_collection_contains(tmp_path):
    collection = Collection(tmp_path)
    rendered = list(animated_pictures.choose_pictures(collection))
    assert [len(each.prompts) for each in rendered] == [4, 4]
    windows = {**_by_id(photographs), **_by_id(films)}
    for number, (videoid, (page, _)) in enumerate(windows.items()):
        (collection.videos / page).mkdir(parents=True, exist_ok=True)
        frames = np.full((2, 64, 64, 3), 20 * number, np.uint8)
        encode(frames, collection.videos / page / f"{videoid}.mp4", 25)

    real = list(animated_pictures.choose_pictures(collection))[2:]

    assert [windows[each.name][0] for each in real] == [*["photographs"] * 3, "films"]
    for each in real:
        assert each.prompts == (windows[each.name][1],)
        assert abs(int(each.picture.mean()) - 20 * list(windows).index(each.name)) <= 2


def _by_id(module) -> dict[str, tuple[str, str]]:
    """videoid → page and caption of a module's held-out windows."""
    return {window.videoid: (module.PAGE, window.caption) for window in module.HELD_OUT}
