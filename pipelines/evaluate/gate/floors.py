"""The hard floors of a gate: what a report must fulfil whatever the champion's is like."""

import math
from collections.abc import Iterator, Sequence

from pipelines.evaluate.gate.policy import Bounds, GatePolicy
from pipelines.evaluate.gate.records import Check, Kind, Outcome
from pipelines.evaluate.records import EvaluationReport

_NAMED = 3  # keys of clips in a message


def floor_checks(policy: GatePolicy, report: EvaluationReport) -> Iterator[Check]:
    """Every floor, in the order of the policy."""
    floors, n = policy.floors, report["protocol"]["n"]
    yield _finite(report)
    yield Check(
        "floor",
        "clips",
        _outcome(n >= floors.clips),
        f"{n}, at least {floors.clips} are required",
        value=n,
        bound=floors.clips,
        n=n,
    )
    yield _degenerate("frozen", report["frozen"], floors.frozen, n)
    yield _degenerate("black", report["black"], floors.black, n)
    for name, wanted in floors.protocol.items():
        found = dict(report["protocol"]).get(name)
        yield Check(
            "floor", f"protocol.{name}", _outcome(found == wanted), f"{found!r}, {wanted!r} is required"
        )
    for name, bounds in floors.values.items():
        yield from _bounded(name, bounds, report)


def _finite(report: EvaluationReport) -> Check:
    figures = [(name, metric["value"]) for name, metric in report["metrics"].items()]
    figures += [
        (f"{name} of clip {row['key']}", value)
        for row in report["clips"]
        for name, value in row["metrics"].items()
        if value is not None
    ]
    wrong = [name for name, value in figures if not math.isfinite(value)]
    text = f"{wrong[0]} is not a finite number" if wrong else f"{len(figures)} figures are finite numbers"
    return Check("floor", "finite", _outcome(not wrong), text, n=len(figures))


def _degenerate(name: str, keys: Sequence[str], most: int, n: int) -> Check:
    named = f" ({', '.join(keys[:_NAMED])}{', …' if len(keys) > _NAMED else ''})" if keys else ""
    text = f"{len(keys)} of {n} clips{named}, at most {most} may be"
    return Check("floor", name, _outcome(len(keys) <= most), text, value=len(keys), bound=most, n=n)


def _bounded(name: str, bounds: Bounds, report: EvaluationReport) -> Iterator[Check]:
    metric = report["metrics"].get(name)
    if metric is None:
        yield lacking("floor", name)
        return
    value, unit, n = metric["value"], metric["unit"], metric["n"]
    for bound, word, passes in (
        (bounds.at_least, "least", lambda bound: value >= bound),
        (bounds.at_most, "most", lambda bound: value <= bound),
    ):
        if bound is not None:
            text = f"{with_unit(value, unit)}, at {word} {with_unit(bound, unit)} is required"
            yield Check("floor", name, _outcome(passes(bound)), text, value=value, bound=bound, n=n)


def lacking(kind: Kind, name: str) -> Check:
    """The check of a metric that the report does not have."""
    text = f"the report does not have it: evaluate again with --metrics and {name} among them"
    return Check(kind, name, "INCONCLUSIVE", text)


def with_unit(value: float, unit: str) -> str:
    """A value as messages print it; shares and similarities have the unit 1."""
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"


def _outcome(passed: bool) -> Outcome:
    return "PASS" if passed else "FAIL"
