"""Paths in configurations, made absolute."""

from pathlib import Path

import pytest

from core.config.locations import with_absolute_paths
from core.config.section import Section


class Part(Section):
    path: str | None = None
    other: str = "relative"


class Job(Section):
    source: str
    output: str | None = None
    codec: Part | None = None
    encoders: Part = Part()


def test_the_named_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(source="table.csv", codec=Part(path="codec"))
    made = with_absolute_paths(job, "source", "output", "codec.path", "encoders.path")
    assert made == Job(source=f"{tmp_path}/table.csv", codec=Part(path=f"{tmp_path}/codec"))
    assert job.source == "table.csv"


def test_urls_and_missing_sections_stay_as_they_are() -> None:
    job = Job(source="s3://bucket/table.csv")
    assert with_absolute_paths(job, "source", "codec.path") == job
