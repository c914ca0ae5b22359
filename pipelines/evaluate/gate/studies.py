"""What a preference study says about a report against another, for the gate."""

from collections.abc import Iterator

from pipelines.evaluate.gate.records import StudyFinding
from pipelines.evaluate.study import StudyResult


def findings_of(study: StudyResult) -> Iterator[StudyFinding]:
    """The win rates of a verified study, of each report against each other one, for each question."""
    for pair in study["pairs"]:
        rate = pair["win_rate"]
        value, low, high = rate["value"], rate["low"], rate["high"]
        raters = rate["raters"]
        yield StudyFinding(
            study["digest"], pair["first"], pair["second"], pair["question"], value, low, high, raters
        )
        yield StudyFinding(
            study["digest"],
            pair["second"],
            pair["first"],
            pair["question"],
            1 - value,
            None if high is None else 1 - high,
            None if low is None else 1 - low,
            raters,
        )
