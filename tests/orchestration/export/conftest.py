"""A workspace with a champion, and an empty location."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.workspace import Workspace
from tests.support.exports import champion
from tests.support.recorded_store import empty_store, recorded_store


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    champion(folder)
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    """A copy of a workspace with a champion."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return Workspace(tmp_path / "runs")


@pytest.fixture(params=["local", "store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty location, on a disk and in an object store."""
    with recorded_store():
        yield str(tmp_path / "serving") if request.param == "local" else "recorded://bucket/serving"
        empty_store()
