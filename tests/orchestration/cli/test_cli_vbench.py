"""``animatic vbench`` generates clips for VBench's prompts, and stores its results."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command import run
from tests.support.small_stages import make_bundle


def test_a_bundle_animates_the_pictures_of_vbench(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.evaluate.vbench.export.CLIPS_OF_PROMPT", 1)
    make_bundle(here / "bundle")
    (here / "16-9").mkdir()
    Image.new("RGB", (96, 54)).save(here / "16-9" / "a boat.jpg")
    entry = {"prompt_en": "a boat", "dimension": ["i2v_subject"], "image_name": "a boat.jpg"}
    (here / "info.json").write_text(json.dumps([entry]))
    options = ("--out", "out", "--bundle", "bundle", "--steps", 1, "--workers", 0)
    refused = run("vbench", "export", "info.json", *options)
    assert refused.stderr.startswith("error: info.json is not the folder of an evaluation; for VBench's list")
    result = run("vbench", "export", "info.json", "--pictures", "16-9", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == "1 clips in out/videos\n"
    assert [path.name for path in (here / "out" / "videos").iterdir()] == ["a boat-0.mp4"]
    record = json.loads((here / "out" / "export.json").read_text())
    assert record["system"]["sampling"]["steps"] == 1


def test_results_are_stored_beside_a_report(here: Path) -> None:
    (here / "results.json").write_text(json.dumps({"i2v_subject": [0.9, []]}))
    result = run("vbench", "import", "results.json", "--out", "evaluation")
    assert result.exit_code == 0, result.output
    assert "i2v_subject" in result.stdout and "total: a dimension has no score" in result.stdout
    record = json.loads((here / "evaluation" / "vbench.json").read_text())
    assert record["dimensions"]["i2v_subject"]["raw"] == 0.9
    as_json = json.loads(run("vbench", "import", "results.json", "--json").stdout)
    assert as_json == {"file": "vbench.json", "record": record}
    refused = run("vbench", "import", "results.json", "--seed", 1)
    assert refused.stderr == "error: --seed is without effect with import\n"
