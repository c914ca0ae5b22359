"""The longest lineage, built once and copied for tests that damage it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.workspace import Workspace
from tests.support.lineages import Workbench, whole_lineage


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return whole_lineage(tmp_path_factory.mktemp("lineage") / "runs")


@pytest.fixture
def moved(whole: Workbench, tmp_path: Path) -> Iterator[Workspace]:
    """A copy; where its records have paths of the original, nothing is there any more."""
    hidden = whole.root.with_name("hidden")
    shutil.copytree(whole.root, tmp_path / "runs")
    whole.root.rename(hidden)
    try:
        yield Workspace(tmp_path / "runs")
    finally:
        hidden.rename(whole.root)
