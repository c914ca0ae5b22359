"""Whether a bundle may be promoted: the gate between its report and the champion's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from orchestration.registry import Entry, Evidence
from orchestration.workflows.gate_records import GateOptions, Judgement
from orchestration.workflows.reports import newest_report, report_of, reports_of
from orchestration.workspace import Workspace, display_path
from pipelines.evaluate import EvaluationReport, encode_report, read_report
from pipelines.evaluate.comparison import mismatch
from pipelines.evaluate.gate import (
    Champion,
    decide,
    findings_of,
    read_policy,
    shipped_policy,
)
from pipelines.evaluate.study import read_study


class Gatekeeper:
    """One gate and the report of one bundle, applied to whatever champion the ledger names."""

    def __init__(
        self,
        bundle_id: str,
        preset: str,
        options: GateOptions,
        workspace: Workspace,
        name: str | None = None,
    ) -> None:
        """Read and verify the report, the gate and the study.

        ``name``: what commands in messages name the bundle by; the beginning of its id if None.

        Raises AnimaticError if one of them is missing, damaged, or about something else.
        """
        self._workspace, self._options = workspace, options
        self._path = options.report or newest_report(bundle_id, workspace, name or bundle_id[:12])
        self._report = report_of(self._path, bundle_id, name)
        self._policy = shipped_policy(preset) if options.gate is None else read_policy(options.gate)
        self._study = None if options.study is None else read_study(options.study)

    def judge(self, champion: Entry | None) -> Judgement:
        """The decision against this champion; None: the preset has none.

        Raises AnimaticError for a report of the champion that was named and is missing, damaged, or of
        another bundle.
        """
        rival, path = (None, None) if champion is None else self._rival(champion)
        findings = [] if self._study is None else list(findings_of(self._study))
        decision = decide(self._policy, self._report, rival, findings)
        against = None if rival is None else rival.report
        return Judgement(decision, self._path, self._report, path, against)

    def keep(self, judgement: Judgement) -> None:
        """Store what the decision depends on beside the ledger."""
        evidence = Evidence(self._workspace.ledger.folder)
        for report in (judgement.report, judgement.champion_report):
            if report is not None:
                evidence.keep("report", report["digest"], encode_report(report))
        evidence.keep("gate", self._policy.digest(), canonical_json(self._policy.content()))
        if self._study is not None:
            evidence.keep("study", self._study["digest"], canonical_json(self._study))

    def _rival(self, champion: Entry) -> tuple[Champion, Path | None]:
        """The champion with the first of its reports that compares with this one."""
        reasons, incomplete = [], None
        for path in self._candidates(champion):
            try:
                report = self._champion_report(path, champion)
            except AnimaticError as error:
                if path == self._options.champion_report:
                    raise
                reasons.append(str(error))
                continue
            difference = mismatch(report, self._report, only=self._policy.compared)
            if difference is not None:
                reasons.append(f"of {display_path(path)} and {display_path(self._path)} {difference}")
            elif all(name in report["metrics"] for name in self._required):
                return Champion(champion.bundle_id, report), path
            else:
                incomplete = incomplete or (Champion(champion.bundle_id, report), path)
        missing = Champion(champion.bundle_id, None, self._missing(champion, reasons))
        return incomplete or (missing, None)

    def _candidates(self, champion: Entry) -> Iterator[Path]:
        """The report that was named; or else the one that the champion was promoted with, then newer ones."""
        if self._options.champion_report is not None:
            yield self._options.champion_report
            return
        recorded = self._recorded(champion)
        if recorded is not None:
            yield recorded
        yield from reports_of(champion.bundle_id, self._workspace)

    def _recorded(self, champion: Entry) -> Path | None:
        """The file of the report that the champion was promoted with; None if it was promoted without one."""
        if champion.gate is None:
            return None
        evidence = Evidence(self._workspace.ledger.folder)
        return evidence.local("report", champion.gate.report, self._workspace.root)

    def _champion_report(self, path: Path, champion: Entry) -> EvaluationReport:
        """A verified report of the champion. Raises AnimaticError for another one in the place of the one
        that the ledger recorded, besides the errors of :func:`report_of`."""
        report = report_of(path, champion.bundle_id)
        gate = champion.gate
        if gate is not None and path == self._recorded(champion) and report["digest"] != gate.report:
            raise AnimaticError(
                f"report {display_path(path)} is not the one that the ledger recorded: restore that file"
            )
        return report

    @property
    def _required(self) -> list[str]:
        """The metrics that the gate compares."""
        return [name for name in self._policy.compared if name in self._report["metrics"]]

    def _missing(self, champion: Entry, reasons: list[str]) -> str:
        protocol, name = self._report["protocol"], champion.bundle_id[:12]
        options = f"--bundle {name} --stride {protocol['stride']} --seed {protocol['seed']}"
        if protocol["name"] != "held-out":
            options += f" --protocol {protocol['name']}"
        why = f" ({reasons[0]})" if reasons else ""
        return (
            f"champion {name} has no report that compares{why}: run `animatic evaluate DATA {options} "
            f"--clips {protocol['n']}` on the data of the report"
        )


def check(options: GateOptions, workspace: Workspace) -> Judgement:
    """Apply the gate to ``options.report`` as a promotion would, and write nothing.

    Raises:
        AnimaticError: the report is missing, damaged, or not of a bundle.
    """
    assert options.report is not None
    system = read_report(options.report)["system"]
    if "preset" not in system or system["kind"] != "bundle":
        raise AnimaticError(
            f"report {display_path(options.report)} is of {system['kind']} {system['name']}: only bundles "
            "are promoted"
        )
    keeper = Gatekeeper(system["digest"], system["preset"], options, workspace)
    champion = workspace.ledger.champion(system["preset"])
    return keeper.judge(champion)
