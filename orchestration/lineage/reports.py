"""Nodes of evaluation reports: in evaluations, and beside the ledger for promotions decided on them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.canonical_json import digest_of
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.records import Fact, Node
from orchestration.registry import Evidence
from orchestration.workspace import display_path

_SHORT = 12
# Figures of the real clips, and of parts of another figure.
_PART = re.compile(r"_on_real$|_q\d+$")
Kind = Literal["report", "gate", "study"]


@dataclass(frozen=True)
class ReportFile:
    """A report of the workspace, and whether it is unchanged.

    ``digest`` is what it states; ``system`` the id of its bundle, or the beginning where the report is
    damaged; ``data`` the digest of the clips that it was measured on.
    """

    path: Path
    digest: str
    system: str
    check: Check
    data: str = ""
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class StoredReport:
    """A report beside the ledger: where, and whether it is unchanged."""

    where: str
    check: Check


def read_reports(paths: Iterable[Path]) -> list[ReportFile]:
    """The reports in these files; files that are none are left out."""
    return [report for path in paths if (report := _read(path)) is not None]


def stored_report(evidence: Evidence, digest: str, looker: Looker) -> StoredReport:
    """The copy of a report that a promotion was decided on."""
    return StoredReport(evidence.where("report", digest), check_document(evidence, "report", digest, looker))


def check_document(evidence: Evidence, kind: Kind, digest: str, looker: Looker) -> Check:
    """Whether a document of a promotion is stored under its digest, unchanged."""
    problem = looker.look(evidence.where(kind, digest), lambda: evidence.problem(kind, digest))
    if isinstance(problem, Check):
        return problem
    if problem is None:
        return Check("verified", "its digest was computed again")
    return Check("missing" if problem.endswith("is missing") else "changed", problem)


def report_node(digest: str, files: Iterable[ReportFile], stored: StoredReport | None) -> Node:
    """A report with all of its copies: changed if one of them is."""
    copies = [(display_path(file.path), file.check) for file in files]
    if stored is not None:
        copies.append((display_path(stored.where), stored.check))
    changed = [(where, check) for where, check in copies if check.state == "changed"]
    intact = [(where, check) for where, check in copies if check.state == "verified"]
    where, check = (changed or intact or copies)[0]
    facts = next((file.facts for file in files if file.check.state == "verified"), ())
    others = [other for other, _ in copies if other != where]
    if others:
        facts = (*facts, Fact("copies", ", ".join(others)))
    protocol = next((fact.text for fact in facts if fact.label == "protocol"), "of an evaluation")
    title = f"report {protocol.rpartition(',')[0] or protocol}"
    return Node(f"report:{digest}", "report", title, digest, check.state, check.reason, where, facts)


def _read(path: Path) -> ReportFile | None:
    """None for JSON files that only have the name of a report. A damaged one keeps the beginning of its
    bundle's id in the name of its folder."""
    try:
        document = json.loads(path.read_bytes())
        system = str(document["system"]["digest"])
        digest, data = str(document.pop("digest")), str(document["protocol"]["data"])
        facts = _facts(document)
    except OSError as error:
        return ReportFile(path, f"in {path.parent.name}", path.parent.name, Check("unreachable", str(error)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        name = path.parent.name
        damaged = Check("changed", f"{display_path(path)} is not a report any more")
        return ReportFile(path, f"in {name}", name[:_SHORT], damaged)
    if digest_of(document) != digest:
        edited = Check("changed", f"{display_path(path)} does not match its digest: it was edited")
        return ReportFile(path, digest, system, edited, data, facts)
    intact = Check("verified", "its digest was computed again")
    return ReportFile(path, digest, system, intact, data, facts)


def _facts(document: Mapping[str, Mapping[str, object]]) -> tuple[Fact, ...]:
    protocol, metrics = document["protocol"], document["metrics"]
    facts = [
        Fact("protocol", f"{protocol['name']}, {protocol['n']} clips, seed {protocol['seed']}"),
        Fact("data", str(protocol["data"])[:_SHORT]),
    ]
    for name, metric in metrics.items():
        if isinstance(metric, Mapping) and not _PART.search(name):
            facts.append(Fact(f"metric {name}", f"{metric['value']:.4g} {metric['unit']}".strip()))
    return tuple(facts)
