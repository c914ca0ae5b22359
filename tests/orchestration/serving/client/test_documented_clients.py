"""The example clients of docs/serving.md work as printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.paths import ROOT
from tests.support.serving import FixedModels, export_moving, http_service, picture

PAGE, PRINTED = ROOT / "docs/serving.md", "http://127.0.0.1:8000"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "my.png").write_bytes(picture(5))
    return tmp_path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    export_moving(folder / "exports", folder)
    with http_service(folder / "state", FixedModels(folder / "exports", folder / "cache")) as (_, found):
        yield found


def _printed(language: str) -> str:
    (block,) = [block for block in blocks(PAGE) if block.language == language]
    return block.text


def test_the_python_example_writes_a_clip(here: Path, url: str):
    example = _printed("python")
    assert PRINTED in example
    assert len(example.splitlines()) <= 40
    command = [sys.executable, "-c", example.replace(PRINTED, url)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "clip.mp4, seed 42, by bundle " in done.stdout
    assert b"ftyp" in (here / "clip.mp4").read_bytes()[:12]


def test_the_curl_lines_follow_fetch_and_remove_a_video(here: Path, url: str):
    lines = _printed("bash").replace(PRINTED, url)
    done = subprocess.run(["bash", "-eu", "-c", lines], cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"status":"completed"' in done.stdout
    assert '"object":"video.deleted"' in done.stdout
    assert (here / "clip.gif").read_bytes().startswith(b"GIF8")
    assert b"ftyp" in (here / "sync.mp4").read_bytes()[:12]
