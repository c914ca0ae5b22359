"""Settings that cannot be are told in one line, wherever they are given."""

from pathlib import Path

from typer.testing import CliRunner

from orchestration.cli import app


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1
    return result.stderr.strip().splitlines()[-1]


def test_assignments_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    call = ["ingest", "table.csv", "--out", str(tmp_path), "--set"]
    assert "one more pair of quotes" in said(*call, "where='a' in name")
    assert "watermark.box: Field required" in said(*call, "watermark=null", "--set", "watermark.tag=x")


def test_a_retry_goes_where_the_dataset_is(tmp_path: Path) -> None:
    (tmp_path / "ingest.json").write_text(
        '{"config": {"unit_rows": 2}, "videos": null, "source": {"place": "t", "rows": 1}}'
    )
    call = ["retry", str(tmp_path), "--no-track", "--class", "corrupt", "--set"]
    for name in ("output", "source", "dataset"):
        assert f"{name} decides a dataset's bytes" in said(*call, f"{name}=elsewhere")
