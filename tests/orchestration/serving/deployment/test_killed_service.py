"""SIGKILL of a replica, of the proxy, of the controller, and of everything, while videos are made."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.support.serve_process import API, CONTROLLER, ENGINE, PROXY, ServeProcess, serving
from tests.support.serving import export_moving, picture
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# Long enough to be killed in the middle; leases short enough to wait for.
STEPS = 60
OPTIONS = ("--set", "engine.lease_seconds=5")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    export_moving(folder / "at", folder)
    return folder / "at"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, exports: Path) -> ServeProcess:
    with serving(tmp_path_factory.mktemp("service"), exports, *OPTIONS) as service:
        yield service


@pytest.fixture(scope="module")
def clip(service: ServeProcess) -> bytes:
    """What a video of seed 1 is where nothing is killed."""
    video = service.submit(picture(), seed=1, num_inference_steps=STEPS)
    assert service.ended(video)["status"] == "completed"
    return service.content(video)


@pytest.mark.parametrize("title", [ENGINE, API, PROXY, CONTROLLER])
def test_videos_end_as_they_would_have_when_a_process_is_killed(
    service: ServeProcess, clip: bytes, title: str
) -> None:
    running = service.submit(picture(), seed=1, num_inference_steps=STEPS)
    waiting = [service.submit(picture(seed), seed=seed) for seed in range(3)]
    service.at_step(running, 5)
    (killed,) = service.processes(title)
    service.kill(title)
    ended = [service.ended(video) for video in (running, *waiting)]
    assert [video["status"] for video in ended] == ["completed"] * 4
    assert service.content(running) == clip
    wait_until(lambda: [process.pid for process in service.processes(title)] not in ([], [killed.pid]), 60)


def test_accepted_videos_end_after_everything_was_killed(tmp_path: Path, exports: Path, clip: bytes) -> None:
    with serving(tmp_path, exports, *OPTIONS) as service:
        running = service.submit(picture(), seed=1, num_inference_steps=STEPS)
        waiting = [service.submit(picture(seed), seed=seed) for seed in range(3)]
        service.at_step(running, 5)
        service.kill_all()
        assert service.left() == []
    stored = {path: path.read_bytes() for path in (tmp_path / "runs" / "serving" / "results").rglob("*.*")}
    with serving(tmp_path, exports, *OPTIONS) as service:
        ended = [service.ended(video) for video in (running, *waiting)]
        assert [video["status"] for video in ended] == ["completed"] * 4
        assert service.content(running) == clip
        assert len({service.content(video) for video in waiting}) == 3
        assert service.stop() == 143
        assert service.left() == []
    assert not [path for path, content in stored.items() if path.suffix == ".mp4" and not content]


def test_a_killed_command_takes_all_of_its_processes_along(tmp_path: Path, exports: Path) -> None:
    with serving(tmp_path, exports, *OPTIONS) as service:
        service.url()
        service.processes()
        service.process.kill()
        service.process.wait(30)
        # Ray's agents try for a minute to report to what has ended.
        assert service.left(120) == []
        with pytest.raises(requests.ConnectionError):
            requests.get(service.url(), timeout=30)


def test_the_command_ends_in_one_line_where_ray_dies(tmp_path: Path, exports: Path) -> None:
    with serving(tmp_path, exports, *OPTIONS) as service:
        service.url()
        (raylet,) = [each for each in service.processes() if each.name() == "raylet"]
        raylet.kill()
        assert service.process.wait(60) == 1
        assert service.output.splitlines()[-1].startswith("error: Ray ended under the service")
        assert "Traceback" not in service.output
        assert service.left() == []


def test_the_api_answers_until_running_videos_have_ended(tmp_path: Path, exports: Path) -> None:
    with serving(tmp_path, exports, *OPTIONS) as service:
        video = service.submit(picture(), num_inference_steps=STEPS)
        service.at_step(video, 5)
        events = requests.get(f"{service.url()}/v1/videos/{video}/events", timeout=90, stream=True)
        assert service.stop() == 143
        assert '"status":"completed"' in events.text
        assert service.left() == []
