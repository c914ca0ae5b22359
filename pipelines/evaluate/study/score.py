"""Scoring a preference study: raters' files in, rates with intervals, strengths and agreement out."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.files import atomic_file
from pipelines.evaluate.statistics.davidson import PRIOR_DEVIATION, Votes, strengths
from pipelines.evaluate.statistics.intervals import RESAMPLES, bootstrap_by_source, wilson
from pipelines.evaluate.statistics.krippendorff import krippendorff_alpha
from pipelines.evaluate.study.answers import RaterAnswers, read_all_answers
from pipelines.evaluate.study.attention import LEAST_RIGHT, passes
from pipelines.evaluate.study.key import read_key, read_sealed, sealed
from pipelines.evaluate.study.records import (
    QUESTIONS,
    STUDY_FORMAT,
    PairResult,
    Question,
    Rate,
    RaterResult,
    StudyKey,
    StudyResult,
    SystemResult,
)

RESULT = "study.json"
METHODS = {
    "intervals": f"95 %: bootstrap over raters, {RESAMPLES} resamples, expanded percentiles; of unanimous "
    "votes: Wilson's with each rater counted as one; for other raters of the same clips",
    "strength": "Bradley-Terry with ties (Davidson 1970), maximum a posteriori with a normal prior of "
    f"deviation {PRIOR_DEVIATION:g}; sandwich variance with raters as clusters",
    "agreement": "Krippendorff's alpha, ordinal: first, equal, second",
    "attention": f"votes count if at least {LEAST_RIGHT:.0%} of a rater's checked answers prefer the real "
    "clip; equal is wrong",
}
_RESULT = TypeAdapter(StudyResult)


class _Vote(NamedTuple):
    """``outcome``: 1 for the first system (a number), 0.5 for a tie, 0 for the second."""

    rater: str
    pair: str
    first: int
    second: int
    question: Question
    outcome: float


def score_study(folder: Path, paths: Sequence[Path]) -> StudyResult:
    """Score the study in ``folder`` from raters' CSV files, or folders of such, and write ``study.json``
    there.

    Raises AnimaticError if the key or a file is damaged, edited, truncated, of another study or of a rater
    who is in another file too, and if no rater's votes count.
    """
    key = read_key(folder)
    result = score(key, read_all_answers(paths, key))
    with atomic_file(folder / RESULT) as partial:
        partial.write_bytes(canonical_json(result))
    return result


def read_study(path: Path) -> StudyResult:
    """A study's result, verified.

    Raises AnimaticError if it is missing, damaged or edited, also where the digest was computed again.
    """
    fix = "rerun animatic study score"
    result = read_sealed(path, _RESULT, fix)
    for each in result["pairs"]:
        votes = each["wins"] + each["ties"] + each["losses"]
        if not votes or abs(each["win_rate"]["value"] - (each["wins"] + each["ties"] / 2) / votes) > 1e-9:
            raise AnimaticError(f"{path} was edited: a win rate does not follow from its votes; {fix}")
    return result


def score(key: StudyKey, raters: Sequence[RaterAnswers]) -> StudyResult:
    """The result of a study from complete answers. Raises AnimaticError if no rater's votes count."""
    checked = [_attention(key, each) for each in raters]
    counted = [each for each, row in zip(raters, checked, strict=True) if row["counted"]]
    if not counted:
        raise AnimaticError(
            f"none of {len(raters)} raters passed the attention checks ({METHODS['attention']}): "
            "nothing to score"
        )
    votes = list(_votes(key, counted))
    result: StudyResult = {
        "format": STUDY_FORMAT,
        "study": key["study"],
        "protocol": key["protocol"],
        "systems": key["systems"],
        "raters": checked,
        "votes": len(votes),
        "pairs": list(_pair_results(key, votes)),
        "results": [each for question in QUESTIONS for each in _system_results(key, votes, question)],
        "agreement": {question: _agreement(votes, question) for question in QUESTIONS},
        "methods": METHODS,
        "digest": "",
    }
    return sealed(result)


def _attention(key: StudyKey, rater: RaterAnswers) -> RaterResult:
    """How a rater did on the attention pairs."""
    sides = {task["pair"]: task for task in key["raters"][rater.rater]}
    right = [
        rater.answers[each["pair"]][question]
        == ("A" if sides[each["pair"]]["a"] == each["files"][0] else "B")
        for each in key["attention"]
        for question in each["checked"]
    ]
    return {
        "rater": rater.rater,
        "checked": len(right),
        "right": sum(right),
        "counted": passes(sum(right), len(right)),
        "median_seconds": rater.median_seconds,
    }


def _votes(key: StudyKey, raters: Sequence[RaterAnswers]) -> Iterator[_Vote]:
    numbers = {system["report"]: number for number, system in enumerate(key["systems"])}
    compared = {each["pair"]: each for each in key["comparisons"]}
    for rater in raters:
        for task in key["raters"][rater.rater]:
            if task["pair"] not in compared:
                continue
            each = compared[task["pair"]]
            for question, answer in rater.answers[task["pair"]].items():
                left = {"A": 1.0, "equal": 0.5, "B": 0.0}[answer]
                outcome = left if task["a"] == each["files"][0] else 1 - left
                first, second = numbers[each["first"]], numbers[each["second"]]
                yield _Vote(rater.rater, task["pair"], first, second, question, outcome)


def _pair_results(key: StudyKey, votes: Sequence[_Vote]) -> Iterator[PairResult]:
    systems = [system["report"] for system in key["systems"]]
    for question, (first, second) in itertools.product(
        QUESTIONS, itertools.combinations(range(len(systems)), 2)
    ):
        own = [each for each in votes if each[2:5] == (first, second, question)]
        if not own:
            continue
        decided = [each for each in own if each.outcome != 0.5]
        yield {
            "first": systems[first],
            "second": systems[second],
            "question": question,
            "wins": sum(each.outcome == 1 for each in own),
            "ties": len(own) - len(decided),
            "losses": sum(each.outcome == 0 for each in own),
            "win_rate": _rate([(each.outcome, each.rater) for each in own]),
            "preference": _rate([(each.outcome, each.rater) for each in decided]) if decided else None,
        }


def _system_results(key: StudyKey, votes: Sequence[_Vote], question: Question) -> Iterator[SystemResult]:
    own = [each for each in votes if each.question == question]
    fitted = strengths(_by_rater(own), len(key["systems"]))
    ranks = (-fitted.values).argsort().argsort() + 1
    for number, system in enumerate(key["systems"]):
        value, half = float(fitted.values[number]), None
        if fitted.halves is not None:
            half = float(fitted.halves[number])
        chosen = [
            (float(each.outcome == (1 if each.first == number else 0)), each.rater)
            for each in own
            if number in (each.first, each.second)
        ]
        if not chosen:
            continue
        yield {
            "system": system["report"],
            "question": question,
            "selection": _rate(chosen),
            "strength": {
                "value": value,
                "low": None if half is None else value - half,
                "high": None if half is None else value + half,
            },
            "rank": int(ranks[number]),
        }


def _by_rater(votes: Sequence[_Vote]) -> list[Votes]:
    """Counts of wins, ties and losses for each rater and two systems."""
    counts: dict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in votes:
        counts[each.rater, each.first, each.second][round(2 - 2 * each.outcome)] += 1
    return [Votes(*names, *outcomes) for names, outcomes in sorted(counts.items())]


def _rate(outcomes: Sequence[tuple[float, str]]) -> Rate:
    """The mean of outcomes, each with its rater. The bootstrap of unanimous votes has no width, so these get
    Wilson's interval with each rater counted as one vote."""
    values, raters = [outcome for outcome, _ in outcomes], [rater for _, rater in outcomes]
    interval, groups = bootstrap_by_source(values, raters).interval(), len(set(raters))
    low, high = interval.low, interval.high
    if low is not None and min(values) == max(values):
        low, high = wilson(values[0] * groups, groups)
    return {"value": float(np.mean(values)), "low": low, "high": high, "n": len(values), "raters": groups}


def _agreement(votes: Sequence[_Vote], question: Question) -> float | None:
    ratings: dict[str, list[int]] = defaultdict(list)
    for each in votes:
        if each.question == question:
            ratings[each.pair].append(round(2 - 2 * each.outcome))
    return krippendorff_alpha(list(ratings.values()), categories=3)
