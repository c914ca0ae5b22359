"""Two reports are compared clip by clip, with honest verdicts, or refused with what differs."""

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AnimaticError
from pipelines.evaluate import EvaluationReport
from pipelines.evaluate.comparison import compare, mismatch, require_match
from pipelines.evaluate.comparison.verdicts import more_clips
from pipelines.evaluate.statistics import intervals
from pipelines.evaluate.statistics.intervals import StudentEstimate, bootstrap_by_source
from tests.support.promotions import report_for

NAMES = ("a.json", "b.json")


def with_values(values: list[float | None], sources: list[str] | None = None, better="higher") -> Any:
    """A report of one per-clip metric, ``score``, with these values."""
    report = deepcopy(report_for("a" * 64, clips=12))
    rows = [
        {**report["clips"][0], "key": f"k{n}", "source": f"s{n}", "metrics": {"score": value}}
        for n, value in enumerate(values)
    ]
    for row, source in zip(rows, sources or [], strict=False):
        row["source"] = source
    counted = [value for value in values if value is not None]
    score = {**report["metrics"]["first_frame_psnr"], "value": float(np.mean(counted)), "better": better}
    return {**report, "clips": rows, "metrics": {"score": {**score, "n": len(counted), "version": "score/1"}}}


def verdict(first: list, second: list, margin: float = 0.5, better="higher", sources=None):
    reports = (with_values(values, sources, better) for values in (first, second))
    return compare(*reports, {"score": margin}).metrics[0]


def test_equal_systems_are_not_worse():
    report, twin = report_for("a" * 64), report_for("b" * 64)
    margins = dict.fromkeys(report["metrics"], 0.3)
    found = compare(report, twin, margins)
    own = [name for name in report["metrics"] if not name.endswith("_on_real")]
    assert [metric.name for metric in found.metrics] == own != list(report["metrics"])
    assert {metric.verdict for metric in found.metrics} == {"not worse"}
    assert (found.first, found.second, found.left_out) == (report["digest"], twin["digest"], [])


def test_a_noisier_system_is_worse_and_the_cleaner_one_better():
    noisy, clean = report_for("a" * 64, noise=12.0), report_for("b" * 64, noise=4.0)
    found = compare(noisy, clean, {"first_frame_psnr": 1.0}).of("first_frame_psnr")
    assert (found.verdict, found.method) == ("better", "paired by clip")
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(20 * math.log10(3), abs=0.6)
    assert compare(clean, noisy, {"first_frame_psnr": 1.0}).of("first_frame_psnr").verdict == "worse"


@pytest.mark.parametrize(
    ("shift", "spread", "better", "expected"),
    [
        (0.0, 0.1, "higher", "not worse"),
        (1.0, 0.1, "higher", "better"),
        (-1.0, 0.1, "higher", "worse"),
        (0.0, 3.0, "higher", "undecided"),
        (-0.6, 1.0, "higher", "undecided"),
        (0.6, 1.0, "lower", "undecided"),
        (-1.0, 0.1, "lower", "better"),
        (1.0, 0.1, "lower", "worse"),
        (0.2, 0.1, "lower", "not worse"),
        (0.2, 0.1, "neither", "not worse"),
        (1.0, 0.1, "neither", "worse"),
        (-1.0, 0.1, "neither", "worse"),
    ],
)
def test_the_verdict_follows_the_interval_the_margin_and_the_better_side(shift, spread, better, expected):
    rng = np.random.default_rng(5)
    before = rng.normal(0, 5, 30)  # far more between clips than between systems: pairing removes it
    after = before + shift + rng.normal(0, spread, 30)
    found = verdict(list(before), list(after), better=better)
    assert found.verdict == expected
    assert (found.more_clips is not None) == (expected == "undecided")
    assert (found.n, found.sources, found.unpaired) == (30, 30, 0)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=5, max_size=15),
    st.sampled_from(["higher", "lower"]),
    st.floats(0, 3),
)
@settings(max_examples=20, deadline=None)
def test_what_is_better_one_way_is_worse_or_undecided_the_other_way(pairs, better, margin):
    first, second = (list(values) for values in zip(*pairs, strict=True))
    forward, back = verdict(first, second, margin, better), verdict(second, first, margin, better)
    assert forward.difference == -back.difference
    if forward.verdict == "worse":
        assert back.verdict == "better"
    if forward.verdict == "better":
        assert back.verdict != "better"
    if forward.verdict == "not worse":
        loss = -forward.low if better == "higher" else forward.high
        assert loss <= margin


def test_clips_of_one_video_are_no_independent_evidence():
    rng = np.random.default_rng(1)
    shifts = np.repeat(rng.normal(-0.3, 1, 6), 8)
    before = list(rng.normal(0, 1, 48))
    after = list(np.array(before) + shifts)
    grouped = verdict(before, after, sources=[f"v{n // 8}" for n in range(48)])
    alone = verdict(before, after)
    assert grouped.sources == 6
    assert grouped.high - grouped.low > 1.8 * (alone.high - alone.low)


def test_shares_are_compared_by_discordant_pairs():
    found = verdict([1.0] * 40, [1.0] * 40, margin=0.1)
    assert (found.method, found.verdict) == ("paired shares", "not worse")
    assert found.low < 0 < found.high
    assert verdict([1.0] * 40, [0.0] * 15 + [1.0] * 25, margin=0.1).verdict == "worse"
    assert verdict([1.0] * 6, [1.0] * 6, margin=0.1).verdict == "undecided"


def test_clips_that_a_metric_applies_to_in_one_report_only_are_left_out_and_counted():
    found = verdict([None, 1.0, *range(10)], [5.0, None, *range(10)])
    assert (found.n, found.unpaired, found.difference) == (10, 2, 0.0)


def test_few_videos_decide_nothing():
    found = verdict([0.0] * 4, [-100.0] * 4)
    assert (found.verdict, found.low, found.more_clips) == ("undecided", None, 1)


def test_as_many_more_clips_as_are_missing_decide(monkeypatch):
    """With the number of clips that was named, four of five repetitions decide as the estimate suggests."""
    monkeypatch.setattr(intervals, "RESAMPLES", 1_000)
    rng = np.random.default_rng(2)
    first = bootstrap_by_source(list(rng.normal(-0.2, 1, 20)))
    missing = more_clips(first, "higher", 0.5, 20, 20)
    needed = 20 + missing
    spread, centre = first.standard_error * math.sqrt(20), first.value
    expected = ((1.96 + 0.8416) * spread / (centre + 0.5)) ** 2
    assert needed == pytest.approx(expected, abs=1)
    decided = 0
    for _ in range(40):
        low = bootstrap_by_source(list(rng.normal(centre, spread, needed))).interval().low
        decided += low >= -0.5
    assert 0.6 <= decided / 40 <= 0.95


def test_a_difference_on_the_margin_is_never_decided():
    assert more_clips(StudentEstimate(-0.5, 0.1, 9, -0.5), "higher", 0.5, 20, 20) is None


def test_holm_makes_a_claim_among_many_metrics_harder():
    rng = np.random.default_rng(3)
    before = rng.normal(0, 1, 30)
    alone, other = with_values(list(before)), with_values(list(before + rng.normal(0.5, 1, 30)))

    def among(report: Any, count: int) -> Any:
        """The report with ``count`` more metrics that carry no difference."""
        rows = [
            {**row, "metrics": {**row["metrics"], **{f"m{n}": float(n + 31 * k) for n in range(count)}}}
            for k, row in enumerate(report["clips"])
        ]
        metrics = {f"m{n}": report["metrics"]["score"] for n in range(count)}
        return {**report, "clips": rows, "metrics": {**report["metrics"], **metrics}}

    def found(count: int):
        return compare(among(alone, count), among(other, count), {"score": 0.0}).of("score")

    assert found(0).verdict == "better"
    assert found(8).verdict != "better"
    assert found(8).p_better == pytest.approx(9 * found(0).p_better)


def with_distance(value: float, left_out: list[float] | None = None) -> Any:
    """A report with a metric over the whole set, and its values without each block."""
    report = deepcopy(report_for("a" * 64))
    details = {} if left_out is None else {"left_out": left_out}
    report["metrics"]["distance"] = {**report["metrics"]["flicker"], "value": value, "details": details}
    return report


def distance(first: Any, second: Any):
    return compare(first, second, {"distance": 5.0}).of("distance")


def test_a_frechet_distance_is_compared_by_value_and_never_better():
    for second, expected in ((104.0, "not worse"), (106.0, "worse"), (10.0, "not worse")):
        found = distance(with_distance(100.0), with_distance(second))
        assert (found.method, found.verdict, found.low, found.p_worse) == (
            "value alone",
            expected,
            None,
            None,
        )


def test_kernel_distances_are_compared_by_leaving_out_the_same_clips_of_both():
    """What the choice of real clips adds to both cancels."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(0, 50, 20), rng.normal(0, 0.1, 20)
    first = with_distance(100.0, list(100 + common))
    found = distance(first, with_distance(90.0, list(90 + common + own)))
    assert (found.method, found.verdict, found.difference) == ("jackknife", "better", -10.0)
    assert -12 < found.low < found.high < -8
    assert distance(first, with_distance(103.0, list(103 + common + own))).verdict == "not worse"
    assert distance(first, with_distance(112.0, list(112 + common + own))).verdict == "worse"
    unpaired = distance(first, with_distance(90.0, list(90 + rng.permutation(common))))
    assert unpaired.verdict == "undecided"
    assert (
        distance(with_distance(100.0, [100.0] * 4), with_distance(90.0, [90.0] * 4)).method == "value alone"
    )


def test_reports_that_do_not_compare_are_refused_with_what_differs():
    first = report_for("a" * 64)

    def refused(message: str, **changes: Any) -> None:
        other: Any = {**deepcopy(first), **changes}
        with pytest.raises(AnimaticError, match=message) as caught:
            require_match(first, other, NAMES)
        assert "\n" not in str(caught.value)

    def protocol(**changes: Any) -> dict[str, Any]:
        return {**first["protocol"], **changes}

    refused(r"a\.json and b\.json cannot be compared: their protocol\.stride differs \(1 and 3\)",
            protocol=protocol(stride=3))  # fmt: skip
    refused(r"protocol\.n differs \(12 and 8\)", protocol=protocol(n=8, clips="c" * 64))
    refused(r"protocol\.data differs \(\w{12}… and c{12}…\)", protocol=protocol(data="c" * 64, n=8))
    refused(r"protocol\.missing differs", protocol=protocol(missing={"too short": 1}))
    reordered = [first["clips"][1], first["clips"][0], *first["clips"][2:]]
    refused(r"clips differs \(clip-00 and clip-01\)", clips=reordered)
    moved = [{**first["clips"][0], "source": "elsewhere"}, *first["clips"][1:]]
    refused("source video of clip clip-00 differs", clips=moved)
    newer = {**first["metrics"]["flicker"], "version": "flicker/2"}
    refused(r"version of flicker differs \(flicker/1 and flicker/2\)",
            metrics={**first["metrics"], "flicker": newer})  # fmt: skip
    turned = {**first["metrics"]["flicker"], "better": "higher"}
    refused("unit of flicker differs", metrics={**first["metrics"], "flicker": turned})
    assert mismatch(first, first) is None


def test_metrics_of_one_report_only_are_named():
    first = report_for("a" * 64)
    second: EvaluationReport = {**first, "metrics": {"flicker": first["metrics"]["flicker"]}}
    found = compare(first, second, {})
    assert [metric.name for metric in found.metrics] == ["flicker"]
    assert "first_frame_psnr" in found.left_out and "flicker" not in found.left_out
