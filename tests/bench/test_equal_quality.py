"""The bench of equal quality: its figures are those of the evaluation, paired with the baseline's."""

import json

import pytest

from tests.bench import equal_quality
from tests.bench.few_steps import BASELINE
from tests.support.small_evaluation import make_bundle, make_clips


@pytest.mark.slow
def test_settings_are_evaluated_and_compared_with_the_baseline(tmp_path, monkeypatch, capsys):
    fewer = {BASELINE: {"steps": 4}, "unipc, 6 steps": {"steps": 2, "solver": "unipc"}}
    monkeypatch.setattr(equal_quality, "SETTINGS", fewer)
    make_bundle(tmp_path / "bundle")
    make_clips(tmp_path / "held-out", 6)
    folder, out = str(tmp_path / "held-out"), tmp_path / "out"
    call = [folder, str(out), "--bundle", str(tmp_path / "bundle"), "--only", "unipc, 6 steps"]
    equal_quality.main(call)
    table = (out / "quality.md").read_text()
    head, _, baseline, other = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert head[0] == "setting" and set(equal_quality.METRICS) < set(head)
    assert (baseline[0], baseline[-1], other[0]) == (BASELINE, "baseline", "unipc, 6 steps")
    assert other[-1] in ("equal", "worse", "undecided")
    assert 0.4 < float(other[1]) / float(baseline[1]) < 0.6  # codec and encoders aside
    report = json.loads((out / "unipc-6-steps" / "report.json").read_text())
    assert report["system"]["sampling"]["solver"] == "unipc"
    # What is stored is read.
    chunk = out / "unipc-6-steps" / "chunks" / "chunk-00000.npz"
    made = chunk.stat().st_mtime_ns
    equal_quality.main(call)
    assert (out / "quality.md").read_text() == table and chunk.stat().st_mtime_ns == made
    assert table.splitlines()[-1] in capsys.readouterr().out
