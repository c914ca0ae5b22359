"""The command in a folder of its own."""

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; runs land below it."""
    monkeypatch.chdir(tmp_path)
    for variable in ("ANIMATIC_RUNS", "ANIMATIC_REGISTRY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path
