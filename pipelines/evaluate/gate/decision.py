"""The decision of a gate: hard floors, then margins against the champion, then a preference study."""

from collections.abc import Iterator, Sequence

from pipelines.evaluate.comparison import (
    Comparison,
    MetricComparison,
    compare,
    require_match,
)
from pipelines.evaluate.gate.floors import floor_checks, lacking, with_unit
from pipelines.evaluate.gate.policy import GatePolicy, StudyRule
from pipelines.evaluate.gate.records import Champion, Check, Decision, Outcome, StudyFinding
from pipelines.evaluate.records import EvaluationReport

_OF_VERDICT: dict[str, Outcome] = {
    "better": "PASS",
    "not worse": "PASS",
    "worse": "FAIL",
    "undecided": "INCONCLUSIVE",
}


def decide(
    policy: GatePolicy,
    report: EvaluationReport,
    champion: Champion | None,
    study: Sequence[StudyFinding] = (),
) -> Decision:
    """Apply a gate to a report, as :func:`pipelines.evaluate.report.read_report` returns it.

    Without a champion, the floors alone decide: the margins then only require their metrics. One failed
    check makes the outcome FAIL; otherwise one that could not be decided makes it INCONCLUSIVE. All metrics
    with a margin must be "not worse", for which no correction is needed; "worse" and "better" are found among
    several, and are corrected by Holm's method.

    Args:
        champion: of the report's preset; None if it has none.
        study: what a preference study found, for each question and pair of reports.

    Raises:
        AnimaticError: the champion's report is of another protocol.
    """
    checks = list(floor_checks(policy, report))
    against = champion.report if champion is not None else None
    checks += [_absent(name, report, against) for name in policy.margins if name not in report["metrics"]]
    # Numbers that are not finite cannot be compared with anything.
    if champion is not None and checks[0].outcome == "PASS":
        checks += _against(policy, report, champion)
        if policy.study is not None:
            checks.append(_study(policy.study, report, champion, study))
    outcomes = {check.outcome for check in checks}
    undecided: Outcome = "INCONCLUSIVE" if "INCONCLUSIVE" in outcomes else "PASS"
    return Decision(
        outcome="FAIL" if "FAIL" in outcomes else undecided,
        gate=policy.digest(),
        gate_name=policy.name,
        report=report["digest"],
        champion_bundle=champion.bundle if champion is not None else None,
        champion_report=against["digest"] if against is not None else None,
        study=next((each.digest for each in study), None),
        checks=tuple(checks),
    )


def _against(policy: GatePolicy, report: EvaluationReport, champion: Champion) -> Iterator[Check]:
    """The losses and margins, and the improvement that is required."""
    if champion.report is None:
        if policy.margins or policy.floors.losses or policy.improve:
            yield Check("champion", "champion's report", "INCONCLUSIVE", champion.missing)
        return
    names = ("the champion's report", "the report")
    require_match(champion.report, report, names, only=policy.compared)
    losses = compare(champion.report, report, {}, only=policy.floors.losses)
    for name, largest in policy.floors.losses.items():
        yield _loss(name, largest, losses)
    # Holm's correction is over the metrics that the gate asks for.
    comparison = compare(champion.report, report, policy.margins, only=policy.margins)
    for name in policy.margins:
        metric = comparison.of(name)
        if metric is not None:
            yield _margin(metric)
        elif name in report["metrics"]:
            text = "the champion's report does not have it: evaluate the champion again with this metric"
            yield Check("margin", name, "INCONCLUSIVE", text)
    if policy.improve:
        yield _improvement(policy.improve, comparison)


def _absent(name: str, report: EvaluationReport, champion: EvaluationReport | None) -> Check:
    """The check of a metric without a value: it was not measured, or applies to no clip of the data."""
    if all(name in row["metrics"] for row in report["clips"]):
        if champion is not None and name in champion["metrics"]:
            n = champion["metrics"][name]["n"]
            text = (
                f"it applies to {n} clips of the champion's report and none of this one: evaluate both again"
            )
            return Check("margin", name, "INCONCLUSIVE", text, n=0)
        return Check("margin", name, "PASS", "it applies to no clip of this data", n=0)
    return lacking("margin", name)


def _loss(name: str, largest: float, comparison: Comparison) -> Check:
    metric = comparison.of(name)
    if metric is None:
        return Check(
            "loss", name, "INCONCLUSIVE", "not both reports have it: evaluate again with this metric"
        )
    change = metric.difference
    loss = {"higher": -change, "lower": change, "neither": abs(change)}[metric.better]
    text = f"{_change(metric)}, a loss of at most {with_unit(largest, metric.unit)} is accepted"
    return Check(
        "loss",
        name,
        "PASS" if loss <= largest else "FAIL",
        text,
        value=metric.second,
        champion=metric.first,
        bound=largest,
        difference=change,
        n=metric.n,
    )


def _margin(metric: MetricComparison) -> Check:
    outcome = _OF_VERDICT[metric.verdict]
    text = f"{_change(metric)}, margin {with_unit(metric.margin, metric.unit)}: {metric.verdict}"
    if metric.unpaired:
        outcome = "FAIL" if outcome == "FAIL" else "INCONCLUSIVE"
        text += f"; it applies to {metric.unpaired} clips in one report and not in the other"
    elif metric.verdict == "undecided":
        needed = f"about {metric.more_clips}" if metric.more_clips else "more than a million"
        text += f"; {needed} more clips would decide"
    return Check(
        "margin",
        metric.name,
        outcome,
        text,
        value=metric.second,
        champion=metric.first,
        bound=metric.margin,
        difference=metric.difference,
        low=metric.low,
        high=metric.high,
        p=metric.p_worse,
        n=metric.n,
        verdict=metric.verdict,
    )


def _improvement(names: Sequence[str], comparison: Comparison) -> Check:
    found = [metric for name in names if (metric := comparison.of(name)) is not None]
    better = [metric for metric in found if metric.verdict == "better"]
    best = min(found, key=lambda metric: 1.0 if metric.p_better is None else metric.p_better, default=None)
    found_so_far = f"{', '.join(each.name for each in better)} is" if better else "none is so far"
    text = f"one of {', '.join(names)} must be better than the champion's: {found_so_far}"
    outcome: Outcome = "PASS" if better else "INCONCLUSIVE"
    return Check("improvement", "improve", outcome, text, p=best.p_better if best else None)


def _study(
    rule: StudyRule, report: EvaluationReport, champion: Champion, findings: Sequence[StudyFinding]
) -> Check:
    against = champion.report["digest"] if champion.report is not None else None
    wanted = f"a win rate above {rule.win_rate:.0%} in {rule.question} by {rule.raters} raters or more"
    found = next(
        (
            each
            for each in findings
            if (each.report, each.against, each.question) == (report["digest"], against, rule.question)
        ),
        None,
    )
    if found is None:
        have = "the study is not of these two reports" if findings else "no study was given"
        how = "run animatic study make and score with both reports, and add --study FILE"
        return Check("study", rule.question, "INCONCLUSIVE", f"{wanted} is required, {have}: {how}")
    known = found.low is not None and found.high is not None
    interval = f" ({found.low:.0%} to {found.high:.0%})" if known else ""
    text = f"{found.win_rate:.0%}{interval} by {found.raters} raters, {wanted} is required"
    return Check(
        "study",
        rule.question,
        _of_study(rule, found),
        text,
        value=found.win_rate,
        bound=rule.win_rate,
        low=found.low,
        high=found.high,
        n=found.raters,
    )


def _of_study(rule: StudyRule, found: StudyFinding) -> Outcome:
    if found.low is None or found.high is None:
        return "INCONCLUSIVE"
    if found.high <= rule.win_rate:
        return "FAIL"
    return "PASS" if found.low > rule.win_rate and found.raters >= rule.raters else "INCONCLUSIVE"


def _change(metric: MetricComparison) -> str:
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f" (95 % interval {metric.low:+.3g} to {metric.high:+.3g})"
    values = f"{with_unit(metric.second, metric.unit)}, champion {with_unit(metric.first, metric.unit)}"
    return f"{values}, {metric.difference:+.3g}{interval}"
