"""Promotion finds the reports of a bundle and of the champion, or says which command produces them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry import Evidence, accept
from orchestration.workflows import promotion
from orchestration.workflows.gate import check
from orchestration.workflows.gate_records import GateOptions, GateRefusalError
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluationReport
from pipelines.evaluate.study.design import StudySettings
from pipelines.evaluate.study.make import design_study
from pipelines.evaluate.study.score import score
from tests.support.promotions import GATE, digested, evaluated, report_for, store
from tests.support.small_stages import make_bundle
from tests.support.studies import answers_of


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setattr("orchestration.registry.mirror_change", lambda *_: None)
    (tmp_path / "gate.yaml").write_text(GATE)
    return Workspace(tmp_path / "runs")


def bundle_at(tmp_path: Path, name: str, **more: Any) -> Bundle:
    make_bundle(tmp_path / name, made_for=name, **more)
    return open_bundle(tmp_path / name)


def promote(bundle: Bundle, workspace: Workspace, forced: str = "", **gate: Any):
    options = GateOptions(**{"gate": workspace.root.parent / "gate.yaml", **gate})
    return promotion.promote(
        promotion.PromoteOptions(bundle.folder, gate=options, forced=forced), workspace
    ).entry


@pytest.fixture
def champion(tmp_path, workspace) -> Bundle:
    bundle = bundle_at(tmp_path, "champion")
    evaluated(bundle, workspace)
    promote(bundle, workspace)
    return bundle


@pytest.fixture
def challenger(tmp_path, champion) -> Bundle:
    return bundle_at(tmp_path, "challenger")


def refused(message: str, outcome: str, bundle: Bundle, workspace: Workspace, **gate: Any) -> None:
    before = workspace.ledger.store.path.read_bytes()
    with pytest.raises(GateRefusalError, match=message) as caught:
        promote(bundle, workspace, **gate)
    assert caught.value.judgement.decision.outcome == outcome
    assert "\n" not in str(caught.value)
    assert workspace.ledger.store.path.read_bytes() == before


def test_the_newest_report_of_the_bundle_decides(workspace, champion, challenger):
    old = evaluated(challenger, workspace, "old", noise=12.0)
    os.utime(old, (1, 1))
    new = evaluated(challenger, workspace, "new")
    entry = promote(challenger, workspace)
    assert entry.gate.report == json.loads(new.read_text())["digest"]
    assert entry.gate.champion_bundle == entry.replaced == champion.id


def test_a_worse_bundle_is_refused_and_the_ledger_stays_as_it_is(workspace, champion, challenger):
    evaluated(challenger, workspace, noise=12.0)
    refused(r"gate tests: FAIL: first_frame_psnr: .* margin 1 dB: worse$", "FAIL", challenger, workspace)


def test_a_bundle_without_a_report_is_refused_with_the_command_that_makes_one(workspace, challenger):
    with pytest.raises(
        AnimaticError, match=rf"has no report in .*evaluate DATA --bundle {challenger.folder}`"
    ):
        promote(challenger, workspace)
    accept(workspace.ledger, challenger)
    with pytest.raises(
        AnimaticError, match=rf"has no report in .*evaluate DATA --bundle {challenger.id[:12]}`"
    ):
        promote(challenger, workspace)


def altered(report: Any, **changes: Any) -> Any:
    return digested({**report, **changes})


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda r: {**r, "system": {**r["system"], "digest": "c" * 64}}, "does not match its digest"),
        (
            lambda r: altered(r, system={**r["system"], "digest": "c" * 64}),
            "is of bundle c{12}, not of bundle",
        ),
        (lambda r: altered(r, system={**r["system"], "kind": "generated"}), "is of generated"),
        (lambda r: altered(r, clips=r["clips"][:6]), "its clips are not those of its protocol"),
        (lambda r: {**r, "format": 1}, "is of format 1.*rerun animatic evaluate"),
        (
            lambda r: altered(
                r, metrics={**r["metrics"], "flicker": {**r["metrics"]["flicker"], "value": 0.5, "low": 0.4}}
            ),
            "was edited: the value of flicker is not that of its clips",
        ),
    ],
)
def test_a_report_of_something_else_or_an_edited_one_is_refused(
    workspace, champion, challenger, tmp_path, alter, message
):
    report = report_for(challenger.id, preset="tiny", stage=3)
    path = store(alter(report), tmp_path / "report.json")
    with pytest.raises(AnimaticError, match=message) as caught:
        promote(challenger, workspace, report=path)
    assert not isinstance(caught.value, GateRefusalError) and "\n" not in str(caught.value)


def test_a_report_with_nan_is_refused(workspace, champion, challenger):
    path = evaluated(challenger, workspace)
    value = json.loads(path.read_text())["metrics"]["flicker"]["value"]
    path.write_text(path.read_text().replace(str(value), "NaN"))
    with pytest.raises(AnimaticError, match=r"report .* is damaged \(NaN"):
        promote(challenger, workspace)


def test_the_newest_report_is_not_passed_over_because_it_is_damaged(workspace, champion, challenger):
    os.utime(evaluated(challenger, workspace, "good"), (1, 1))
    bad = evaluated(challenger, workspace, "bad")
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(AnimaticError, match=r"bad/report\.json is damaged"):
        promote(challenger, workspace)


def test_a_champion_without_a_report_that_compares_is_inconclusive_with_the_command(
    workspace, champion, challenger
):
    report = report_for(challenger.id, preset="tiny", stage=3, clips=15)
    path = store(report, workspace.root / "evaluations" / "other" / "report.json")
    command = rf"animatic evaluate DATA --bundle {champion.id[:12]} --stride 1 --seed 0 --clips 15`"
    refused(rf"protocol\.data differs.*: run `{command}", "INCONCLUSIVE", challenger, workspace)
    # As that command does:
    store(
        report_for(champion.id, preset="tiny", stage=3, clips=15),
        workspace.root / "evaluations" / "newer" / "report.json",
    )
    assert promote(challenger, workspace).gate.report == report["digest"]
    assert path.exists()


def test_the_champions_report_is_that_of_its_promotion_wherever_its_evaluation_went(
    workspace, champion, challenger
):
    recorded = workspace.ledger.champion("tiny").gate.report
    shutil.rmtree(workspace.root / "evaluations")
    # A worse report of the champion, made later, would let anything pass.
    evaluated(champion, workspace, "worse", noise=30.0)
    evaluated(challenger, workspace, noise=12.0)
    refused("first_frame_psnr: .* worse", "FAIL", challenger, workspace)
    stored = Evidence(workspace.ledger.folder).local("report", recorded, workspace.root)
    stored.write_text(stored.read_text().replace("moves right", "moves left"))
    shutil.rmtree(workspace.root / "evaluations")
    evaluated(challenger, workspace)
    refused("does not match its digest: it was edited", "INCONCLUSIVE", challenger, workspace)
    store(report_for(champion.id, preset="tiny", stage=3, noise=30.0), stored)
    refused("is not the one that the ledger recorded: restore", "INCONCLUSIVE", challenger, workspace)


def test_a_champions_report_with_another_version_of_a_metric_is_compared_by_the_others(
    workspace, champion, challenger, tmp_path
):
    report: Any = report_for(challenger.id, preset="tiny", stage=3)
    flicker = {**report["metrics"]["flicker"], "version": "flicker/2"}
    path = store(altered(report, metrics={**report["metrics"], "flicker": flicker}), tmp_path / "newer.json")
    gate = tmp_path / "loss.yaml"
    gate.write_text(GATE.replace("clips: 12", "clips: 12, losses: {flicker: 1}"))
    refused(r"version of flicker differs", "INCONCLUSIVE", challenger, workspace, report=path, gate=gate)
    assert promote(challenger, workspace, report=path).gate.outcome == "PASS"


def test_a_named_report_of_the_champion_must_be_one(workspace, champion, challenger, tmp_path):
    evaluated(challenger, workspace)
    other = store(report_for("c" * 64), tmp_path / "other.json")
    with pytest.raises(AnimaticError, match=r"other\.json is of bundle cccccccccccc, not of bundle"):
        promote(challenger, workspace, champion_report=other)
    right = evaluated(champion, workspace, "named")
    assert promote(challenger, workspace, champion_report=right).gate.outcome == "PASS"


def test_force_promotes_with_or_without_a_report_and_is_recorded(workspace, champion, challenger, tmp_path):
    evaluated(challenger, workspace, noise=12.0)
    entry = promote(challenger, workspace, forced="the old one is unsafe")
    assert (entry.gate.outcome, entry.forced) == ("FAIL", "the old one is unsafe")
    assert Evidence(workspace.ledger.folder).problems(entry.gate) == []
    published = promote(bundle_at(tmp_path, "published"), workspace, forced="published weights")
    assert (published.gate, published.forced) == (None, "published weights")


def test_force_is_not_recorded_where_the_gate_passes(workspace, champion, challenger):
    evaluated(challenger, workspace)
    assert promote(challenger, workspace, forced="in a hurry").forced == ""


def test_force_promotes_no_bundle_on_an_edited_report(workspace, champion, challenger):
    path = evaluated(challenger, workspace)
    path.write_text(path.read_text().replace("moves right", "moves left"))
    with pytest.raises(AnimaticError, match="does not match its digest"):
        promote(challenger, workspace, forced="why")


def test_check_applies_the_gate_and_writes_nothing(workspace, champion, challenger):
    path = evaluated(challenger, workspace, noise=12.0)
    before = sorted(workspace.root.rglob("*"))
    gate = workspace.root.parent / "gate.yaml"
    judgement = check(GateOptions(report=path, gate=gate), workspace)
    assert judgement.decision.outcome == "FAIL"
    assert judgement.decision.champion_bundle == champion.id
    assert sorted(workspace.root.rglob("*")) == before
    generated = store(report_for(challenger.id, kind="generated"), workspace.root / "generated.json")
    with pytest.raises(AnimaticError, match=r"is of generated .*: only bundles are promoted"):
        check(GateOptions(report=generated), workspace)


def scored(path: Path, reports: list[EvaluationReport], liked: EvaluationReport) -> Path:
    """A preference study of these reports, by eight raters who like one of them."""
    key = design_study(reports, StudySettings(pairs=12, raters=8))

    def taste(rater: str, first: str, second: str) -> float:
        return 4.0 if first == liked["digest"] else -4.0

    path.write_bytes(canonical_json(score(key, [answers_of(key, rater, taste) for rater in key["raters"]])))
    return path


def test_a_required_study_of_both_reports_decides_and_is_kept(workspace, champion, challenger, tmp_path):
    gate = tmp_path / "study-gate.yaml"
    gate.write_text(GATE + "study: {question: motion, win_rate: 0.5, raters: 5}\n")
    evaluated(challenger, workspace)
    old, new = (report_for(each.id, preset="tiny", stage=3) for each in (champion, challenger))
    refused("no study was given: run animatic study make", "INCONCLUSIVE", challenger, workspace, gate=gate)
    other = scored(tmp_path / "other.json", [report_for("c" * 64), new], liked=new)
    refused("the study is not of these two reports", "INCONCLUSIVE", challenger, workspace, gate=gate,
            study=other)  # fmt: skip
    lost = scored(tmp_path / "lost.json", [old, new], liked=old)
    refused(r"motion: \d+% \(.* by 8 raters", "FAIL", challenger, workspace, gate=gate, study=lost)
    edited = tmp_path / "edited.json"
    edited.write_text(lost.read_text().replace('"wins":', '"wins":1'))
    with pytest.raises(AnimaticError, match="it was edited: rerun animatic study score"):
        promote(challenger, workspace, gate=gate, study=edited)

    won = scored(tmp_path / "won.json", [old, new], liked=new)
    entry = promote(challenger, workspace, gate=gate, study=won)
    (check_,) = [each for each in entry.gate.checks if each.kind == "study"]
    assert check_.value > 0.8 and check_.low > 0.5 and check_.n == 8
    assert entry.gate.study == json.loads(won.read_text())["digest"]
    won.unlink()
    assert Evidence(workspace.ledger.folder).problems(entry.gate) == []
