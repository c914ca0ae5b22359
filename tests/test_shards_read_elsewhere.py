"""Our shards read by other libraries: the snippets of docs/shards.md, run as printed."""

import re
from pathlib import Path

import pytest

from tests.support.coded_clips import build_dataset
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/shards.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SAMPLES = 5
OUTPUT = {  # what each prints or leaves, by what it imports or names
    "shardshuffle=False, empty_check=False)\nfor sample in samples": 3,
    "decord": 3,
    "ray.data": 3,
    "import tarfile": 3,
    "most-motion": 0,
    "hashlib": 0,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a dataset."""
    build_dataset(tmp_path / "data", [9, 12, 9, 10, 9], sizes=[3, 2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snippet(text: str) -> str:
    (found,) = [snippet for snippet in SNIPPETS if text in snippet]
    return found


def test_every_snippet_of_the_page_is_run() -> None:
    assert {snippet(text) for text in OUTPUT} == set(SNIPPETS)


@pytest.mark.parametrize("text", [text for text in OUTPUT if text != "ray.data"])
def test_a_snippet_reads_each_sample(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet(text), text, "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == OUTPUT[text]
    if text == "most-motion":
        assert (here / "most-motion.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.slow
def test_ray_data_reads_each_sample(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import ray

    try:
        exec(compile(snippet("ray.data"), "ray.data", "exec"), {})
    finally:
        ray.shutdown()
    lines = [line for line in capsys.readouterr().out.splitlines() if "caption" in line]
    assert len(lines) == OUTPUT["ray.data"]
