"""Scoring: simulated raters of known taste, whose ranking is recovered and whose rates are covered."""

import json
import math
import random
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from pipelines.evaluate.report import read_report
from pipelines.evaluate.study.design import StudySettings
from pipelines.evaluate.study.key import sealed
from pipelines.evaluate.study.make import design_study
from pipelines.evaluate.study.records import QUESTIONS, StudyKey, StudyResult
from pipelines.evaluate.study.score import read_study, score, score_study
from tests.support.studies import Taste, answers_of, prefer_first, win_rate, write_answers, write_reports

STRENGTHS = {"good": 0.7, "poor": 0.0, "worst": -0.7}
RATERS = 49


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_reports(tmp_path_factory.mktemp("reports"), count=12, systems=list(STRENGTHS))


def designed(reports: list[Path], seed: int = 0) -> StudyKey:
    return design_study(
        [read_report(path) for path in reports], StudySettings(pairs=12, raters=RATERS, seed=seed)
    )


def taste(key: StudyKey, spread: float = 0.4) -> Taste:
    """Log odds by ``STRENGTHS``, which differ a little from rater to rater."""
    names = {system["report"]: system["name"].split()[1] for system in key["systems"]}

    def odds(rater: str, first: str, second: str) -> float:
        own = {
            report: STRENGTHS[name] + random.Random(f"{rater} {name}").gauss(0, spread)
            for report, name in names.items()
        }
        return own[first] - own[second]

    return odds


def test_the_ranking_of_49_raters_is_recovered_and_inattentive_raters_are_excluded(
    reports: list[Path],
) -> None:
    key = designed(reports)
    careless = set(list(key["raters"])[::10])
    result = score(
        key, [answers_of(key, each, taste(key), attentive=each not in careless) for each in key["raters"]]
    )
    assert {each["rater"] for each in result["raters"] if not each["counted"]} == careless
    assert result["votes"] == (RATERS - len(careless)) * 12 * len(QUESTIONS)
    names = {system["report"]: system["name"].split()[1] for system in result["systems"]}
    for question in QUESTIONS:
        rows = sorted(
            (each for each in result["results"] if each["question"] == question), key=lambda row: row["rank"]
        )
        assert [names[row["system"]] for row in rows] == ["good", "poor", "worst"]
        assert rows[0]["selection"]["value"] > rows[1]["selection"]["value"] > rows[2]["selection"]["value"]
        for row in rows:
            assert row["strength"]["low"] is not None and row["strength"]["high"] is not None
            assert row["strength"]["low"] < STRENGTHS[names[row["system"]]] + 0.05
            assert row["strength"]["high"] > STRENGTHS[names[row["system"]]] - 0.05
        agreement = result["agreement"][question]
        assert agreement is not None and 0 < agreement < 1


@pytest.mark.slow
def test_intervals_of_win_rates_cover_the_true_rate(reports: list[Path]) -> None:
    """Over 12 studies with 9 rates each, whose raters differ in taste."""
    population = random.Random(0)
    pairs = (("good", "poor"), ("good", "worst"), ("poor", "worst"))
    true = {}
    for first, second in pairs:
        draws = [
            STRENGTHS[first] - STRENGTHS[second] + population.gauss(0, 0.4 * math.sqrt(2))
            for _ in range(40_000)
        ]
        odds = np.exp(np.array(draws) / 2)
        true[first, second] = float(np.mean((odds + 0.25) / (odds + 0.5 + 1 / odds)))
    covered = []
    for seed in range(12):
        key = designed(reports, seed)
        result = score(key, [answers_of(key, each, taste(key)) for each in key["raters"]])
        for first, second in pairs:
            rates = [win_rate(result, question, first, second) for question in QUESTIONS]
            covered += [cast(float, r["low"]) <= true[first, second] <= cast(float, r["high"]) for r in rates]
    assert np.mean(covered) >= 0.9


def test_rates_count_ties_as_stated(reports: list[Path]) -> None:
    key = design_study(
        [read_report(path) for path in reports[:2]], StudySettings(pairs=10, raters=8, attention=0)
    )
    result = score(key, [answers_of(key, each, prefer_first, ties=2) for each in key["raters"]])
    for each in result["pairs"]:
        wins, ties, losses = each["wins"], each["ties"], each["losses"]
        assert wins + ties + losses == 80 and ties > 0
        assert each["win_rate"]["value"] == pytest.approx((wins + ties / 2) / 80)
        assert each["preference"] is not None
        assert each["preference"]["value"] == pytest.approx(wins / (wins + losses))


def test_unanimous_votes_have_an_interval_that_counts_raters(reports: list[Path]) -> None:
    key = design_study(
        [read_report(path) for path in reports[:2]], StudySettings(pairs=10, raters=8, attention=0)
    )
    result = score(key, [answers_of(key, each, lambda *_: 1000, ties=0) for each in key["raters"]])
    rate = win_rate(result, "motion", "good", "poor")
    assert rate["value"] == 1 and rate["low"] == pytest.approx(8 / (8 + 1.96**2), abs=1e-3)
    few = score(key, [answers_of(key, each, prefer_first) for each in list(key["raters"])[:4]])
    rate = win_rate(few, "motion", "good", "poor")
    assert (rate["low"], rate["high"], rate["raters"]) == (None, None, 4)


def test_a_scored_study_is_stored_and_read_and_an_edited_one_is_refused(
    reports: list[Path], tmp_path: Path
) -> None:
    key = design_study([read_report(path) for path in reports[:2]], StudySettings(4, raters=5, attention=2))
    folder, answers = tmp_path / "study", tmp_path / "answers"
    folder.mkdir()
    (folder / "key.json").write_bytes(canonical_json(key))
    for rater in key["raters"]:
        write_answers(answers, key, answers_of(key, rater, prefer_first))
    result = score_study(folder, [answers])
    path = folder / "study.json"
    assert read_study(path) == result
    assert score_study(folder, [answers]) == result

    edited = json.loads(path.read_bytes())
    edited["votes"] = 1000
    path.write_bytes(canonical_json(edited))
    with pytest.raises(AnimaticError, match="does not match its digest, it was edited"):
        read_study(path)
    edited = json.loads(canonical_json(result))
    edited["pairs"][0]["win_rate"]["value"] = 0.999
    path.write_bytes(canonical_json(sealed(cast(StudyResult, edited))))
    with pytest.raises(AnimaticError, match="was edited: a win rate does not follow from its votes"):
        read_study(path)
    path.write_text("{")
    with pytest.raises(AnimaticError, match="is damaged"):
        read_study(path)
    (folder / "key.json").write_bytes((folder / "key.json").read_bytes().replace(b'"seed":0', b'"seed":1'))
    with pytest.raises(AnimaticError, match=r"key\.json does not match its digest"):
        score_study(folder, [answers])


def test_a_study_without_an_attentive_rater_has_no_result(reports: list[Path]) -> None:
    key = designed(reports)
    with pytest.raises(AnimaticError, match="none of 3 raters passed the attention checks"):
        score(key, [answers_of(key, each, prefer_first, attentive=False) for each in list(key["raters"])[:3]])
