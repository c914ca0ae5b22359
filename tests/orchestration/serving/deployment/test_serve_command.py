"""`animatic serve` as a user starts and stops it."""

from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.serve_process import serving
from tests.support.serving import picture


@pytest.mark.timeout(1500)
def test_serves_the_clip_that_animate_makes_and_leaves_nothing_running(exports: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(picture())
    with serving(tmp_path / "service", exports) as service:
        video = service.submit(picture(), seed=7)
        ended = service.ended(video)
        clip = service.content(video)
        exit_code = service.stop()
    assert ended["status"] == "completed"
    bundle = exports.parent / "runs" / "bundle-0"
    made = tmp_path / "clip.mp4"
    result = run(
        "animate", tmp_path / "picture.png", "a ball rolls", "--bundle", bundle, "--seed", 7, "--out", made
    )
    assert result.exit_code == 0, result.output
    assert clip == made.read_bytes()
    assert exit_code == 143
    assert service.left() == []
    assert "Traceback" not in service.output
