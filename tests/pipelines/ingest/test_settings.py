"""Invalid settings are reported in one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app


def error_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1
    return result.stderr.strip().splitlines()[-1]


def test_invalid_assignments_are_reported(tmp_path: Path) -> None:
    call = ["ingest", "table.csv", "--out", str(tmp_path), "--set"]
    assert "one more pair of quotes" in error_of(*call, "where='a' in name")
    assert "watermark.box: Field required" in error_of(*call, "watermark=null", "--set", "watermark.tag=x")


def test_a_retry_cannot_change_locations(tmp_path: Path) -> None:
    (tmp_path / "ingest.json").write_text(
        '{"config": {"unit_rows": 2}, "videos": null, "source": {"place": "t", "rows": 1}}'
    )
    call = ["retry", str(tmp_path), "--no-track", "--class", "corrupt", "--set"]
    for name in ("output", "source", "dataset"):
        assert f"{name} decides a dataset's bytes" in error_of(*call, f"{name}=elsewhere")


def test_a_secret_in_the_settings_of_a_retry_is_refused_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text("{}")
    secret = "s3cr3t-of-a-retry"
    call = ["retry", "data", "--class", "fetch_refused", "--set"]
    error = error_of(*call, f"fetch.host_headers={{a.example: {{Authorization: {secret}}}}}")
    assert "would be a secret in a command line: Authorization: env:NAME" in error
    assert secret not in error
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
