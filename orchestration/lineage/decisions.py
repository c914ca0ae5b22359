"""Nodes of what was decided about a bundle: reports, gates, promotions, aliases, exports, deployments."""

from __future__ import annotations

from urllib.parse import urlsplit

from orchestration.lineage.building import GraphBuilder
from orchestration.lineage.content import WorkspaceContent
from orchestration.lineage.exports import check_export
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.records import Fact, Node
from orchestration.lineage.reports import check_document, read_reports, report_node, stored_report
from orchestration.registry import Entry, Evidence, GateRecord, Ledger
from orchestration.workspace import display_path

_SHORT = 12
_IN_CHAIN = "the chain of the ledger was verified"


class DecisionCollector:
    """Adds what the ledger and the reports of a workspace say of bundles."""

    def __init__(
        self,
        builder: GraphBuilder,
        looker: Looker,
        content: WorkspaceContent,
        ledger: Ledger,
        *,
        deep: bool,
    ) -> None:
        self._builder, self._looker, self._deep = builder, looker, deep
        self._history, self._evidence = ledger.snapshot(), Evidence(ledger.folder)
        self._reports = read_reports(content.reports)

    def add(self, bundle_id: str) -> None:
        """Everything that was decided about one bundle, whose node exists."""
        bundle = f"bundle:{bundle_id}"
        for report in self._reports:
            if bundle_id.startswith(report.system) and len(report.system) >= _SHORT:
                self._builder.link(bundle, self._add_report(report.digest), "measured")
        decided = exported = bundle
        for entry in self._history.entries():
            if entry.kind == "rolled_back" and entry.replaced == bundle_id:
                self._builder.link(decided, self._add_promotion(entry), "replaced")
            if entry.bundle_id != bundle_id:
                continue
            if entry.kind in ("promoted", "rolled_back", "withdrawn"):
                before, decided = decided, self._add_promotion(entry)
                exported = decided
                if before != bundle:
                    self._builder.link(before, decided, "later")
                elif entry.gate is None:
                    self._builder.link(bundle, decided, entry.kind.replace("_", " "))
            elif entry.kind == "exported":
                exported = self._add_export(entry, decided)
            elif entry.kind == "deployed":
                self._add_deployment(entry, exported)
        self._add_aliases(bundle_id)

    def _add_report(self, digest: str) -> str:
        key = f"report:{digest}"
        if key in self._builder:
            return key
        files = [report for report in self._reports if report.digest == digest]
        judged = {entry.gate.report for entry in self._history.entries() if entry.gate}
        judged |= {entry.gate.champion_report or "" for entry in self._history.entries() if entry.gate}
        stored = stored_report(self._evidence, digest, self._looker) if digest in judged else None
        return self._builder.add(report_node(digest, files, stored))

    def _add_promotion(self, entry: Entry) -> str:
        facts = [
            Fact("time", entry.time),
            Fact("by", entry.actor),
            Fact("entry", str(entry.seq)),
            Fact("bundle", entry.bundle_id[:_SHORT]),
        ]
        if entry.replaced:
            facts.append(Fact("replaced", entry.replaced[:_SHORT]))
        facts += [Fact(name, text) for name, text in (("note", entry.note), ("forced", entry.forced)) if text]
        key = self._builder.add(
            Node(
                f"entry:{entry.hash}",
                "promotion",
                _title(entry),
                entry.hash,
                "verified",
                _IN_CHAIN,
                facts=tuple(facts),
            )
        )
        if entry.gate is not None:
            self._builder.link(self._add_gate(entry, entry.gate), key, entry.gate.outcome)
        return key

    def _add_gate(self, entry: Entry, gate: GateRecord) -> str:
        check, where = self._check_gate(gate)
        facts = {f"{each.kind} {each.name}": f"{each.outcome}: {each.text}" for each in gate.checks}
        key = self._builder.add(
            Node(
                f"gate:{entry.hash}",
                "gate",
                f"gate {gate.gate_name}: {gate.outcome}",
                gate.gate,
                check.state,
                check.reason,
                where,
                tuple(Fact(label, text) for label, text in facts.items()),
            )
        )
        report = self._add_report(gate.report)
        # Its evaluation may have been deleted.
        self._builder.link(f"bundle:{entry.bundle_id}", report, "measured")
        self._builder.link(report, key, "judged")
        if gate.champion_report is not None:
            self._builder.link(self._add_report(gate.champion_report), key, "compared with")
        return key

    def _check_gate(self, gate: GateRecord) -> tuple[Check, str]:
        """The state of the gate's file, and of the study that it was decided with."""
        evidence, where = self._evidence, self._evidence.where("gate", gate.gate)
        check = check_document(evidence, "gate", gate.gate, self._looker)
        if gate.study is not None and check.state == "verified":
            check = check_document(evidence, "study", gate.study, self._looker)
        return check, display_path(where)

    def _add_aliases(self, bundle_id: str) -> None:
        for preset in self._history.presets():
            for name, entry in self._history.aliases(preset).items():
                if entry.bundle_id == bundle_id:
                    node = Node(
                        f"alias:{preset}:{name}", "alias", f"{name} of {preset}", None, "verified", _IN_CHAIN
                    )
                    self._builder.link(f"entry:{entry.hash}", self._builder.add(node), "is")

    def _add_export(self, entry: Entry, before: str) -> str:
        check, facts = check_export(entry, self._looker, deep=self._deep)
        node = Node(
            f"entry:{entry.hash}",
            "export",
            f"export {_tail(entry.location).removesuffix('.json')}",
            entry.digest or None,
            check.state,
            check.reason,
            display_path(entry.location),
            (Fact("time", entry.time), Fact("by", entry.actor), *facts),
        )
        key = self._builder.add(node)
        self._builder.link(before, key, "exported")
        return key

    def _add_deployment(self, entry: Entry, before: str) -> None:
        node = Node(
            f"entry:{entry.hash}",
            "deployment",
            f"deployment {urlsplit(entry.location).netloc or _tail(entry.location)}",
            None,
            "not_checked",
            "what a service has loaded is not asked",
            entry.location,
            (Fact("time", entry.time), Fact("by", entry.actor)),
        )
        self._builder.link(before, self._builder.add(node), "deployed")


def _tail(location: str) -> str:
    """The end of a URL or path, which distinguishes it from others."""
    return "/".join(location.rstrip("/").split("/")[-2:])


def _title(entry: Entry) -> str:
    if entry.kind == "withdrawn":
        return f"withdrawn as {entry.alias}" if entry.alias else "withdrawn from use"
    verb = "promoted to" if entry.kind == "promoted" else "rollback of"
    return f"{verb} {entry.moved_alias}"
