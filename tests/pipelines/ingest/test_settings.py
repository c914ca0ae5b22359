"""Settings that cannot be are told in one line, wherever they are given."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle
from typer.testing import CliRunner

from core.errors import AnimaticError
from core.storage import Folder
from orchestration.cli import app
from pipelines.ingest.engine import Tally, run_units
from pipelines.ingest.timings import Timings

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


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


def fail_without_a_word(_: Any) -> dict[str, Any]:
    raise MemoryError


def test_a_unit_that_fails_without_a_word_is_told_by_its_error(tmp_path: Path) -> None:
    tally = Tally(1, None, Timings(Folder(tmp_path)))
    with pytest.raises(AnimaticError, match=r"^unit 3 failed \(MemoryError\); what is done is kept"):
        run_units(fail_without_a_word, [(3, (None,))], tally, workers=1, address=None)
