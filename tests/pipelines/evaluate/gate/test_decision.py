"""The gate: floors first, then margins against the champion; what cannot be decided blocks."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.evaluate.gate import Champion, Check, Decision, GatePolicy, StudyFinding, decide
from tests.support.promotions import report_for

POLICY: dict[str, Any] = {
    "name": "tests",
    "floors": {"clips": 12},
    "margins": {"first_frame_psnr": 1.0, "dynamic_degree": 0.3},
}
CHALLENGER, CHAMPION = "a" * 64, "b" * 64


def policy(**changes: Any) -> GatePolicy:
    return configure(GatePolicy, values={**POLICY, **changes})


def champion(**measured: Any) -> Champion:
    return Champion(CHAMPION, report_for(CHAMPION, **measured))


def check_of(decision: Decision, name: str, kind: str | None = None) -> Check:
    (found,) = [check for check in decision.checks if check.name == name and kind in (None, check.kind)]
    return found


def test_a_report_that_is_as_good_as_the_champions_passes_with_every_number():
    report, other = report_for(CHALLENGER), champion()
    decision = decide(policy(), report, other)
    assert decision.outcome == "PASS"
    assert (decision.report, decision.champion_report) == (report["digest"], other.report["digest"])
    assert (decision.champion_bundle, decision.gate, decision.gate_name) == (
        CHAMPION,
        policy().digest(),
        "tests",
    )
    margin = check_of(decision, "first_frame_psnr")
    psnr = report["metrics"]["first_frame_psnr"]["value"]
    assert (margin.value, margin.champion, margin.difference, margin.bound) == (psnr, psnr, 0.0, 1.0)
    assert (margin.low, margin.high, margin.n, margin.verdict) == (0.0, 0.0, 12, "not worse")
    assert [check.name for check in decision.checks] == [
        "finite", "clips", "frozen", "black", "first_frame_psnr", "dynamic_degree",
    ]  # fmt: skip


def test_without_a_champion_the_floors_decide():
    decision = decide(policy(), report_for(CHALLENGER, noise=40.0), None)
    assert decision.outcome == "PASS"
    assert decision.champion_bundle is decision.champion_report is None


def test_a_worse_report_fails_and_names_the_metric():
    decision = decide(policy(), report_for(CHALLENGER, noise=12.0), champion())
    assert decision.outcome == "FAIL"
    assert check_of(decision, "first_frame_psnr").verdict == "worse"
    assert decision.because().startswith("first_frame_psnr: 2")
    assert "margin 1 dB: worse" in decision.because()


@pytest.mark.parametrize("name", ["frozen", "black"])
def test_a_frozen_or_black_clip_wins_no_gate(name):
    report: Any = deepcopy(report_for(CHALLENGER))
    report[name] = ["clip-03"]
    for against in (None, champion(noise=40.0)):
        decision = decide(policy(), report, against)
        assert decision.outcome == "FAIL"
        assert check_of(decision, name).text == "1 of 12 clips (clip-03), at most 0 may be"


def test_a_frozen_system_has_the_best_first_frame_and_fails_all_the_same():
    """Clips that repeat the picture, but for noise that no threshold of frozen clips finds."""
    report: Any = deepcopy(report_for(CHALLENGER))
    for row in report["clips"]:
        row["metrics"] |= {"first_frame_psnr": 100.0, "dynamic_degree": 0.0}
    report["metrics"]["dynamic_degree"]["value"] = 0.0
    decision = decide(policy(), report, champion())
    assert check_of(decision, "first_frame_psnr").verdict == "better"
    assert check_of(decision, "dynamic_degree").verdict == "worse"
    assert decision.outcome == "FAIL"


def test_fewer_clips_than_the_floor_fail_and_another_protocol_does_not_compare():
    decision = decide(policy(floors={"clips": 12}), report_for(CHALLENGER, clips=8), None)
    assert (decision.outcome, check_of(decision, "clips").text) == ("FAIL", "8, at least 12 are required")
    with pytest.raises(
        AnimaticError, match=r"champion's report and the report cannot be compared.*protocol\."
    ):
        decide(policy(floors={"clips": 5}), report_for(CHALLENGER, clips=8), champion())


def test_a_number_that_is_not_finite_fails_before_anything_is_compared():
    report: Any = deepcopy(report_for(CHALLENGER))
    report["clips"][2]["metrics"]["flicker"] = float("nan")
    decision = decide(policy(margins={"flicker": 1.0}), report, champion())
    assert decision.outcome == "FAIL"
    assert check_of(decision, "finite").text == "flicker of clip clip-02 is not a finite number"


def test_floors_bound_values_and_losses_by_value():
    floors = {
        "clips": 12,
        "protocol": {"stride": 1, "name": "held-out"},
        "values": {"first_frame_psnr": {"at_least": 20}, "flicker": {"at_most": 200}},
        "losses": {"first_frame_psnr": 2.0},
    }
    good = decide(policy(floors=floors), report_for(CHALLENGER), champion())
    assert good.outcome == "PASS"
    tight = {
        **floors,
        "values": {"first_frame_psnr": {"at_least": 60, "at_most": 90}},
        "protocol": {"stride": 3},
    }
    bad = decide(policy(floors=tight, margins={}), report_for(CHALLENGER, noise=12.0), champion())
    failed = {(check.kind, check.name) for check in bad.checks if check.outcome == "FAIL"}
    assert failed == {
        ("floor", "first_frame_psnr"),
        ("floor", "protocol.stride"),
        ("loss", "first_frame_psnr"),
    }
    assert "1, 3 is required" in check_of(bad, "protocol.stride").text


def test_what_is_undecided_or_missing_is_inconclusive_and_says_what_to_do():
    undecided = decide(policy(margins={"dynamic_degree": 0.05}), report_for(CHALLENGER), champion())
    assert undecided.outcome == "INCONCLUSIVE"
    assert "undecided; about" in undecided.because() and "more clips would decide" in undecided.because()

    absent: Any = deepcopy(report_for(CHALLENGER))
    del absent["metrics"]["flicker"]
    for row in absent["clips"]:
        del row["metrics"]["flicker"]
    wanted = policy(margins={"flicker": 1.0})
    for against in (None, champion()):
        decision = decide(wanted, absent, against)
        assert decision.outcome == "INCONCLUSIVE"
        assert "evaluate again with --metrics and flicker among them" in decision.because()
    decision = decide(wanted, report_for(CHALLENGER), Champion(CHAMPION, absent))
    assert "the champion's report does not have it" in decision.because()

    unknown = Champion(CHAMPION, None, "champion bbb has no report: run `animatic evaluate`")
    decision = decide(policy(), report_for(CHALLENGER), unknown)
    assert (decision.outcome, decision.champion_report) == ("INCONCLUSIVE", None)
    assert decision.because() == "champion's report: champion bbb has no report: run `animatic evaluate`"
    assert decide(policy(margins={}), report_for(CHALLENGER), unknown).outcome == "PASS"


def test_a_metric_that_applies_to_no_clip_of_the_data_is_no_obstacle():
    report: Any = deepcopy(report_for(CHALLENGER))
    del report["metrics"]["direction"]
    for row in report["clips"]:
        row["metrics"]["direction"] = None
    decision = decide(policy(margins={"direction": 0.2}), report, None)
    assert (decision.outcome, check_of(decision, "direction").text) == (
        "PASS",
        "it applies to no clip of this data",
    )


def without(report: Any, name: str, rows: slice = slice(None)) -> Any:
    """The report as if a metric applied to none of these clips."""
    report = deepcopy(report)
    for row in report["clips"][rows]:
        row["metrics"][name] = None
    if all(row["metrics"][name] is None for row in report["clips"]):
        del report["metrics"][name]
    return report


def test_a_metric_that_applies_to_clips_of_the_champions_report_alone_is_not_overlooked():
    report = without(report_for(CHALLENGER), "first_frame_psnr")
    decision = decide(policy(), report, champion())
    assert decision.outcome == "INCONCLUSIVE"
    assert "applies to 12 clips of the champion's report and none of this one:" in decision.because()


def test_values_of_no_common_clip_decide_nothing():
    first = without(report_for(CHAMPION), "first_frame_psnr", slice(0, 6))
    second = without(report_for(CHALLENGER), "first_frame_psnr", slice(6, None))
    decision = decide(policy(), second, Champion(CHAMPION, first))
    assert decision.outcome == "INCONCLUSIVE"
    assert check_of(decision, "first_frame_psnr").verdict == "undecided"
    assert "it applies to 12 clips in one report and not in the other" in decision.because()


def test_a_metric_that_the_gate_does_not_ask_for_may_be_of_another_version():
    """As distances are whose features come from another file."""
    report: Any = deepcopy(report_for(CHALLENGER))
    report["metrics"]["flicker"]["version"] = "flicker/2"
    assert decide(policy(), report, champion()).outcome == "PASS"
    for asks in ({"margins": {"flicker": 1.0}}, {"floors": {"clips": 12, "losses": {"flicker": 1.0}}}):
        with pytest.raises(AnimaticError, match="version of flicker differs"):
            decide(policy(**asks), report, champion())


def test_clips_without_a_value_in_one_report_only_are_not_overlooked():
    report: Any = deepcopy(report_for(CHALLENGER))
    for row in report["clips"][:3]:
        row["metrics"]["first_frame_psnr"] = None
    decision = decide(policy(), report, champion())
    assert decision.outcome == "INCONCLUSIVE"
    assert "it applies to 3 clips in one report and not in the other" in decision.because()


def test_an_improvement_is_required_only_where_the_gate_says_so():
    improve = policy(improve=["first_frame_psnr", "dynamic_degree"])
    assert decide(improve, report_for(CHALLENGER, noise=2.0), champion()).outcome == "PASS"
    decision = decide(improve, report_for(CHALLENGER), champion())
    assert decision.outcome == "INCONCLUSIVE"
    assert "must be better than the champion's: none is so far" in decision.because()


@pytest.mark.parametrize(
    ("low", "high", "raters", "against", "outcome"),
    [
        (0.52, 0.7, 12, CHAMPION, "PASS"),
        (0.45, 0.7, 12, CHAMPION, "INCONCLUSIVE"),
        (0.2, 0.45, 12, CHAMPION, "FAIL"),
        (0.52, 0.7, 3, CHAMPION, "INCONCLUSIVE"),
        (None, None, 12, CHAMPION, "INCONCLUSIVE"),
        (0.52, 0.7, 12, "c" * 64, "INCONCLUSIVE"),
    ],
)
def test_a_study_that_is_required_decides_by_its_interval(low, high, raters, against, outcome):
    wanted = policy(study={"question": "motion", "win_rate": 0.5, "raters": 5})
    report = report_for(CHALLENGER)
    rival = report_for(against)["digest"]
    finding = StudyFinding("d" * 64, report["digest"], rival, "motion", 0.6, low, high, raters)
    decision = decide(wanted, report, champion(), [finding])
    assert decision.outcome == outcome
    assert decision.study == "d" * 64
    missing = decide(wanted, report_for(CHALLENGER), champion())
    assert missing.outcome == "INCONCLUSIVE"
    assert "no study was given: run animatic study make and score" in missing.because()


@given(noise=st.sampled_from([2.0, 4.0, 12.0]), other=st.sampled_from([2.0, 4.0, 12.0]))
@settings(max_examples=9, deadline=None)
def test_no_two_reports_are_each_better_than_the_other(noise, other):
    first, second = report_for(CHALLENGER, noise=noise), report_for(CHAMPION, noise=other)
    forward = decide(policy(), first, Champion(CHAMPION, second))
    back = decide(policy(), second, Champion(CHALLENGER, first))
    assert (forward.outcome, back.outcome) in {("PASS", "PASS"), ("PASS", "FAIL"), ("FAIL", "PASS")}
    assert (forward.outcome == "PASS") == (noise <= other)
