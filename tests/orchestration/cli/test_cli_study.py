"""``animatic study``: a page from reports, a result from raters' files."""

import json
from pathlib import Path

from pipelines.evaluate.study import read_study
from pipelines.evaluate.study.key import read_key
from tests.support.command import fails, run
from tests.support.evaluations import write_report
from tests.support.studies import answers_of, make_pairs, prefer_first, write_answers, write_reports

SIZE = ("--pairs", 2, "--raters", 6, "--attention", 2)


def test_a_study_is_made_answered_and_scored(here: Path) -> None:
    write_reports(here / "runs")
    command = ("study", "make", "runs/good", "runs/poor/report.json", "--out", "study", *SIZE)
    made = run(*command)
    assert made.exit_code == 0, made.output
    assert "of the good system aaaaaaaaaaaa and the poor system bbbbbbbbbbbb on 6 clips" in made.stdout
    assert "6 raters, each with 2 pairs and 2 attention pairs" in made.stdout
    assert run(*command).stdout == f"nothing left to do: the study was made before\n{made.stdout}"
    key = read_key(here / "study")
    assert json.loads(run(*command, "--json").stdout)["raters"] == list(key["raters"])
    codes = (here / "study" / "raters.csv").read_text().splitlines()
    assert codes[1:] == [f"{code},index.html?rater={code}" for code in key["raters"]]

    careless = list(key["raters"])[2]
    for rater in key["raters"]:
        write_answers(
            here / "answers", key, answers_of(key, rater, prefer_first, attentive=rater != careless)
        )
    scored = run("study", "score", "study", "answers")
    assert scored.exit_code == 0, scored.output
    assert "30 votes of 5 raters" in scored.stdout
    assert f"rater {careless} is excluded" in scored.stderr
    result = json.loads(
        run("study", "score", "study", *sorted((here / "answers").iterdir()), "--json").stdout
    )
    assert result == read_study(here / "study" / "study.json")


def test_a_system_that_was_evaluated_twice_is_named_with_its_reports(here: Path) -> None:
    for number, folder in enumerate(("first", "second")):
        write_report(here / folder, make_pairs(2, 10.0 * number), metrics=["flicker"])
    command = ("study", "make", "first", "second", "--out", "study", "--pairs", 1, "--attention", 0)
    made = run(*command)
    for system in read_key(here / "study")["systems"]:
        assert f"tiny stage 3 bbbbbbbbbbbb, report {system['report'][:12]}" in made.stdout


def test_what_cannot_be_made_or_scored_is_an_error_of_one_line(here: Path) -> None:
    write_reports(here / "runs")
    fails("name the folder to write", "study", "make", "runs/good", "runs/poor")
    fails("compares two or more systems", "study", "make", "runs/good", "--out", "study")
    fails("report nowhere cannot be read", "study", "make", "runs/good", "nowhere", "--out", "study")
    fails("36 pairs for each rater", "study", "make", "runs/good", "runs/poor", "--out", "x", "--pairs", 36)
    fails("study/key.json cannot be read", "study", "score", "study", "answers.csv")
    fails("--raters is without effect with study score", "study", "score", "study", "--raters", 3)
