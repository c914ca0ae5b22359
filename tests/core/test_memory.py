"""Memory that is left, of the machine and of its container."""

from pathlib import Path

import psutil
import pytest

import core.memory as memory
from core.memory import available_bytes


@pytest.mark.parametrize(("limit", "left"), [("1000", 1000 - 700 + 150), ("600", 50), ("max", None)])
def test_a_limit_of_the_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, left: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    monkeypatch.setattr(
        memory, "_CGROUPS", ((str(tmp_path), "memory.max", "memory.current", "inactive_file"),)
    )
    found = available_bytes()
    if left is not None:
        assert found == left
    else:
        assert found == pytest.approx(psutil.virtual_memory().available, rel=0.5)
