"""Replicas by the length of the queue, on Ray Serve."""

from pathlib import Path

import pytest

from tests.support.serve_process import ENGINE, serving
from tests.support.serving import export_moving, picture
from tests.support.waiting import wait_until


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_replica_comes_with_the_queue_and_goes_without_losing_its_video(tmp_path: Path) -> None:
    export_moving(tmp_path / "exports", tmp_path)
    settings = (
        "engine.max_replicas=2", "engine.queue_per_replica=2", "engine.batch=1",
        "engine.scale_up_seconds=0", "engine.scale_down_seconds=0",
    )  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    with serving(tmp_path / "service", tmp_path / "exports", *options) as service:
        videos = [service.submit(picture(), seed=seed, num_inference_steps=100) for seed in range(8)]
        wait_until(lambda: len(service.processes(ENGINE)) == 2, 90)
        wait_until(lambda: service.output.count(" serves bundle ") == 2, 90)
        ended = [service.ended(video, 240) for video in videos]
        # The last videos are made while the second replica is on its way out.
        wait_until(lambda: len(service.processes(ENGINE)) == 1, 120)
        assert service.stop() == 143
    assert [video["status"] for video in ended] == ["completed"] * 8
    assert "does not report any more" not in service.output
    replicas = {line.split()[2] for line in service.output.splitlines() if " began, on " in line}
    assert len(replicas) == 2
