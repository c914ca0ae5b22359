"""VBench's result files become a record with normalised scores and the leaderboard's totals."""

import json
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.vbench.importing import import_results

# As VBench writes them: the mean first, then details, of which camera_motion has two.
RESULTS = {
    "i2v_subject": [0.97, [{"video_path": "a-0.mp4", "video_results": 0.97}]],
    "i2v_background": [0.96, []],
    "camera_motion": [0.25, {"pan_left": 0.5}, []],
    "subject_consistency": [0.95, []],
    "background_consistency": [0.94, []],
    "motion_smoothness": [0.98, []],
    "dynamic_degree": [0.5, []],
    "aesthetic_quality": [0.6, []],
    "imaging_quality": [0.7, []],
}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_totals_are_those_of_the_leaderboard(tmp_path):
    first = {name: RESULTS[name] for name in ("i2v_subject", "dynamic_degree")}
    rest = {name: result for name, result in RESULTS.items() if name not in first}
    paths = [write(tmp_path / "a.json", first), write(tmp_path / "b.json", rest)]
    record = import_results(paths)

    assert record["missing"] == []
    assert record["dimensions"]["motion_smoothness"]["normalised"] == pytest.approx((0.98 - 0.706) / 0.2915)
    # By hand, from scripts/constant.py.
    subject, background, camera = (0.97 - 0.1462) / 0.8538, (0.96 - 0.2615) / 0.7385, 0.25
    i2v = (subject + background + 0.1 * camera) / 2.1
    quality = (
        (0.95 - 0.1462) / 0.8538 + (0.94 - 0.2615) / 0.7385 + (0.98 - 0.706) / 0.2915 + 0.5 * 0.5 + 0.6 + 0.7
    ) / 5.5
    expected = {"quality": quality, "i2v": i2v, "total": (quality + i2v) / 2}
    assert record["totals"] == pytest.approx(expected)
    assert set(record["files"]) == {"a.json", "b.json"}


def test_a_missing_dimension_leaves_its_totals_out(tmp_path):
    results = {**RESULTS, "temporal_flickering": [0.9, []]}
    del results["camera_motion"]
    record = import_results([write(tmp_path / "a.json", results)])
    assert record["missing"] == ["camera_motion"]
    assert record["totals"]["i2v"] is None
    assert record["totals"]["total"] is None
    assert record["totals"]["quality"] is not None
    assert record["unweighted"] == {"temporal_flickering": 0.9}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"i2v_subjects": [1.0]}, "'i2v_subjects' is not a dimension of VBench-I2V"),
        ({"imaging_quality": [70.1]}, "imaging_quality is 70.1, not from 0 to 1"),
        ({"i2v_subject": [None]}, "score of i2v_subject is not a number"),
        ({"i2v_subject": [float("nan")]}, "score of i2v_subject is not a number"),
        ([1], "is not a result of VBench"),
    ],
)
def test_other_files_are_refused_with_their_reason(tmp_path, content, message):
    with pytest.raises(AnimaticError, match=message):
        import_results([write(tmp_path / "a.json", content)])


def test_a_dimension_in_two_files_is_refused(tmp_path):
    paths = [write(tmp_path / name, {"i2v_subject": [0.9]}) for name in ("a.json", "b.json")]
    with pytest.raises(AnimaticError, match=r"b\.json contains i2v_subject, as another file does"):
        import_results(paths)
