"""`animatic animate --server`: the clips of the local verb, made by a service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from models.animate import animate
from orchestration.media import to_frames, write_clip
from orchestration.pictures import open_picture, to_tensor
from orchestration.serving.settings import ServingSettings
from tests.support.command import fails, run
from tests.support.serving import FixedModels, Service, StepGate, http_service, picture
from tests.support.waiting import wait_until

Started = tuple[Service, str, FixedModels]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models: FixedModels) -> Iterator[Started]:
    settings = ServingSettings.model_validate({"limits": {"steps": 10}})
    with http_service(tmp_path_factory.mktemp("state"), models, settings) as (started, url):
        yield started, url, models


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my.png").write_bytes(picture(5))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    monkeypatch.delenv("ANIMATIC_API_KEY", raising=False)
    return tmp_path


def test_a_service_makes_the_clip_that_the_local_verb_makes(service: Started, here: Path):
    _, url, models = service
    result = run(
        "animate",
        "my.png",
        "a ball rolls",
        "--server",
        url,
        "--seed",
        11,
        "--steps",
        2,
        "--count",
        2,
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    champion = models.resolve("champion")
    assert champion is not None
    assert (document["bundle_id"], document["manifest"]) == (
        champion.exported.bundle.id,
        champion.exported.export.digest,
    )
    assert [clip["seed"] for clip in document["clips"]] == [11, 12]
    image = to_tensor(open_picture(picture(5)), 64, 64)
    for clip in document["clips"]:
        settings = champion.exported.sampling.model_copy(update={"seed": clip["seed"], "steps": 2})
        (made,) = animate(champion.animator, image, ["a ball rolls"], settings)
        files = write_clip(to_frames(made), here / f"alone-{clip['seed']}", 8.0)
        assert Path(clip["mp4"]).read_bytes() == files.mp4.read_bytes()
        assert Path(clip["gif"]).read_bytes() == files.gif.read_bytes()
        assert Path(clip["mp4"]).parent.resolve() == (here / "runs/animations").resolve()
        assert Path(clip["mp4"]).name.startswith("my-a-ball-rolls-")
        assert Path(clip["mp4"]).stem.endswith(f"-{clip['seed']}")


def test_the_options_become_fields_and_progress_is_printed(service: Started, here: Path):
    started, url, _ = service
    result = run(
        *("animate", "my.png", "a ball", "--server", url, "--out", "out.gif", "--bundle", "champion"),
        *("--steps", 3, "--eta", 0.5, "--text-guidance", 2, "--image-guidance", 1.5, "--playback", 12),
        *("--seed", 5, "--loop", "--frames", 4, "--solver", "ddim"),
    )
    assert result.exit_code == 0, result.stderr
    assert (here / "out.gif").read_bytes().startswith(b"GIF8")
    assert not (here / "out.mp4").exists()
    (job,) = started.store.listed(None, limit=1)
    spec, sampling = job.spec, job.spec.sampling
    assert (spec.mode, spec.frames, spec.playback, spec.seed, spec.model) == ("loop", 4, 12.0, 5, "champion")
    assert (sampling.steps, sampling.eta, sampling.text_guidance, sampling.image_guidance) == (3, 0.5, 2, 1.5)
    assert sampling.solver == "ddim"
    assert f"{job.id}: completed" in result.stderr
    assert "bundle " in result.stdout


def test_a_clip_never_replaces_another_one(service: Started, here: Path):
    _, url, _ = service
    command = ("animate", "my.png", "a ball", "--server", url, "--seed", 1, "--steps", 2, "--json")
    first = Path(json.loads(run(*command).stdout)["clips"][0]["mp4"])
    made = first.read_bytes()
    assert Path(json.loads(run(*command).stdout)["clips"][0]["mp4"]) == first
    first.write_bytes(b"of other hardware")
    second = Path(json.loads(run(*command).stdout)["clips"][0]["mp4"])
    assert (first.read_bytes(), second.read_bytes()) == (b"of other hardware", made)
    fails("exists and is not overwritten", *command, "--out", first)


def test_ctrl_c_cancels_the_video(service: Started, monkeypatch: pytest.MonkeyPatch):
    started, url, _ = service
    gate = StepGate()
    gate.install(monkeypatch)
    gate.close(after=1)

    def continued() -> None:
        """Let the device go on once the engine knows that the video was cancelled."""
        wait_until(lambda: any(each.cancelled for each in started.engine.running), every_s=0.01)
        gate.open()

    def interrupted(number: int, video: object) -> None:
        gate.wait()
        threading.Thread(target=continued).start()
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestration.cli.remote._Lines", lambda count: interrupted)
    result = run("animate", "my.png", "a ball", "--server", url, "--steps", 3)
    (job,) = started.store.listed(None, limit=1)
    assert result.exit_code == 130
    assert result.stderr.strip() == f"interrupted: cancelled {job.id}; finished clips are kept"
    assert job.state == "cancelled"


def test_a_lost_connection_makes_no_second_video(service: Started, monkeypatch: pytest.MonkeyPatch):
    started, url, _ = service
    before = len(started.store.listed(None, limit=100))
    lost = _losing(monkeypatch, lambda method, path: method == "POST" or path.endswith("mp4"))
    result = run("animate", "my.png", "a ball", "--server", url, "--steps", 2, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert len(lost) == 2
    assert "does not answer: Connection reset by peer; trying again" in result.stderr
    assert len(started.store.listed(None, limit=100)) == before + 1


def test_a_damaged_clip_is_fetched_again(service: Started, monkeypatch: pytest.MonkeyPatch):
    _, url, _ = service
    send = requests.Session.request
    damaged: list[str] = []

    def damaging(session: requests.Session, method: str, path: str, **options: object) -> requests.Response:
        response = send(session, method, path, **options)  # type: ignore[arg-type]
        if "/content" in path and not damaged:
            damaged.append(path)
            response._content = response.content[:-1]
        return response

    monkeypatch.setattr(requests.Session, "request", damaging)
    result = run("animate", "my.png", "a ball", "--server", url, "--steps", 2, "--out", "clip.mp4")
    assert result.exit_code == 0, result.stderr
    assert "arrived damaged; trying again" in result.stderr


def test_what_the_service_refuses_is_one_line_with_the_option(service: Started, here: Path):
    _, url, _ = service
    fails("--bundle: ", "animate", "my.png", "a ball", "--server", url, "--bundle", "former")
    fails("served are champion", "animate", "my.png", "a ball", "--server", url, "--bundle", "former")
    fails("--steps: ", "animate", "my.png", "a ball", "--server", url, "--steps", 50)
    fails("--eta 2.0", "animate", "my.png", "a ball", "--server", url, "--eta", 2)
    fails("--loop ends at", "animate", "my.png", "a ball", "--server", url, "--loop", "--last", "my.png")
    fails("no such path", "animate", "my.png", "a ball", "--server", f"{url}/docs")
    fails("Connection refused", "animate", "my.png", "a ball", "--server", "http://127.0.0.1:9")
    fails("is no URL of a service", "animate", "my.png", "a ball", "--server", "localhost:8000")


def test_options_without_effect_are_refused(service: Started, here: Path):
    _, url, _ = service
    for option in ("--preset", "--codec", "--encoders", "--require-signer"):
        fails(
            f"{option} is without effect with --server",
            "animate",
            "my.png",
            "x",
            "--server",
            url,
            option,
            "x",
        )
    fails(
        "--api-key-file is without effect without --server", "animate", "my.png", "x", "--api-key-file", "x"
    )


def test_the_key_is_read_from_a_file_or_the_environment_and_never_printed(
    service: Started, here: Path, monkeypatch: pytest.MonkeyPatch
):
    _, url, _ = service
    sent: list[str | None] = []
    send = requests.Session.request

    def noting(session: requests.Session, method: str, path: str, **options: object) -> requests.Response:
        sent.append(options["headers"].get("X-API-Key"))  # type: ignore[attr-defined]
        return send(session, method, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "request", noting)
    (here / "key").write_text("ak_secret-of-a-file\n")
    command = ("animate", "my.png", "x", "--server", url, "--bundle", "none")
    fails("no model", *command, "--api-key-file", "key")
    monkeypatch.setenv("ANIMATIC_API_KEY", "ak_secret-of-the-environment")
    fails("no model", *command)
    assert sent == ["ak_secret-of-a-file"] * 2 + ["ak_secret-of-the-environment"] * 2
    (here / "key").write_text('{"version": 1}')
    fails("a service's file of keys", *command, "--api-key-file", "key")
    (here / "key").write_text("")
    fails("is no API key", *command, "--api-key-file", "key")
    fails("No such file", *command, "--api-key-file", "missing")


def _losing(monkeypatch: pytest.MonkeyPatch, chosen: Callable[[str, str], bool]) -> list[str]:
    """The answer to each chosen request is lost once, after the service has given it."""
    send = requests.Session.request
    lost: list[str] = []

    def losing(session: requests.Session, method: str, path: str, **options: object) -> requests.Response:
        response = send(session, method, path, **options)  # type: ignore[arg-type]
        if chosen(method, path) and path not in lost:
            lost.append(path)
            raise requests.ConnectionError from ConnectionResetError(104, "Connection reset by peer")
        return response

    monkeypatch.setattr(requests.Session, "request", losing)
    return lost
