"""The table of an ablation: differences from the whole method, paired by clip, with their intervals."""

import numpy as np
import pytest

from orchestration.workflows.ablation.differences import variant_metrics
from orchestration.workflows.ablation.document import markdown, table
from pipelines.evaluate import EvaluationReport

CLIPS = 40
PSNR = "first_frame_psnr"


def report(psnr: np.ndarray, moves: np.ndarray, fvd: float | None = None) -> EvaluationReport:
    """A report with a mean, a share and, if given, a metric of the whole set; two clips of each source."""
    columns = {"first_frame_psnr": (psnr, "dB"), "dynamic_degree": (moves, "1")}
    kind = {"low": None, "high": None, "n": CLIPS, "better": "higher", "version": "1", "details": {}}
    values = {
        name: {**kind, "value": float(np.mean(column)), "unit": unit}
        for name, (column, unit) in columns.items()
    }
    if fvd is not None:
        values["fvd"] = {**kind, "value": fvd, "unit": "1"}
    rows = [
        {
            "key": f"clip-{n}",
            "source": f"video-{n // 2}",
            "metrics": {name: float(column[n]) for name, (column, _) in columns.items()},
        }
        for n in range(CLIPS)
    ]
    return {"metrics": values, "clips": rows}  # type: ignore[typeddict-item]


@pytest.fixture
def psnr() -> np.ndarray:
    return np.random.default_rng(0).normal(20, 5, CLIPS)


ALL = np.ones(CLIPS)
NOISE = np.random.default_rng(1).normal(1, 0.1, CLIPS)


def test_differences_are_paired_by_clip(psnr):
    found = variant_metrics({0: report(psnr - NOISE, ALL)}, {0: report(psnr, ALL)})[PSNR]["difference"]
    assert found is not None and found["low"] is not None and found["high"] is not None
    assert found["value"] == pytest.approx(-NOISE.mean())
    # The clips differ by 5 dB, their differences by 0.1.
    assert -1.1 < found["low"] < found["value"] < found["high"] < -0.9
    assert (found["n"], found["sources"]) == (CLIPS, CLIPS // 2)


def test_a_share_that_is_equal_in_all_clips_still_has_an_interval(psnr):
    found = variant_metrics({0: report(psnr, ALL)}, {0: report(psnr, ALL)})["dynamic_degree"]["difference"]
    assert found is not None and found["low"] is not None and found["high"] is not None
    assert found["low"] < 0 == found["value"] < found["high"]


def test_seeds_are_averaged_by_clip_and_listed(psnr):
    full = {0: report(psnr, ALL), 1: report(psnr + 2, ALL), 2: report(psnr, ALL)}
    own = {0: report(psnr + 1, ALL), 1: report(psnr + 6, ALL)}
    found = variant_metrics(own, full)[PSNR]
    assert found["difference"] is not None
    assert found["difference"]["by_seed"] == pytest.approx([1, 4])
    assert found["difference"]["value"] == pytest.approx(2.5)
    assert found["value"] == pytest.approx(psnr.mean() + 3.5)
    assert found["low"] is not None and found["low"] < found["value"]


def test_a_metric_of_the_whole_set_has_a_difference_without_an_interval(psnr):
    found = variant_metrics({0: report(psnr, ALL, 110)}, {0: report(psnr, ALL, 100)})["fvd"]
    assert found["difference"] is not None
    assert (found["difference"]["value"], found["difference"]["low"]) == (10, None)


def test_clips_that_a_metric_does_not_apply_to_are_left_out(psnr):
    own = report(psnr, ALL)
    own["clips"][0]["metrics"][PSNR] = None
    found = variant_metrics({0: own}, {0: report(psnr, ALL)})[PSNR]["difference"]
    assert found is not None and found["n"] == CLIPS - 1


def test_the_table_marks_differences_that_exclude_zero(psnr):
    full = {0: report(psnr, ALL)}
    variants = [
        {"name": name, "title": f"about {name}", "cells": cells, "metrics": variant_metrics(own, compared)}
        for name, own, compared, cells in (
            ("full", full, None, []),
            ("joint", {0: report(psnr - NOISE, ALL)}, full, []),
            ("class-token", {}, full, [{"seed": 0, "runs": [], "error": "it broke"}]),
        )
    ]
    record = {"preset": "tiny", "seeds": [0], "protocol": {"n": CLIPS}, "variants": variants}
    columns, rows = table(record)  # type: ignore[arg-type]
    assert columns == ["variant", "first frame psnr, dB ↑", "dynamic degree ↑"]
    assert rows[0][1] == f"{psnr.mean():.3g}"
    assert rows[1][1].startswith("-1.0") and "* [-1.0" in rows[1][1]
    assert rows[1][2].startswith("+0.00 [-0.")
    assert rows[2] == ["class-token", None, None]
    page = markdown(record)  # type: ignore[arg-type]
    assert "| joint | -1.0" in page
    assert "do not cover the choice of the seed" in page
    assert "- class-token: it broke" in page
