"""A bundle's events as Markdown, for MLflow's page of its version."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.registry.entry import Entry
from orchestration.registry.gate_record import GateRecord

_EVENTS = {
    "promoted": "promoted",
    "rolled_back": "reinstated by a rollback",
    "exported": "exported",
    "deployed": "deployed",
    "withdrawn": "withdrawn",
}


def describe(entries: Sequence[Entry]) -> str:
    """What happened to one bundle, the newest last, and the gate's summary of its last promotion.

    Args:
        entries: all of the bundle, oldest first; not empty.
    """
    last = entries[-1]
    paragraphs = [f"Bundle `{last.bundle_id}`, stage {last.stage} of preset {last.preset}."]
    events = [_event(entry) for entry in entries if entry.kind in _EVENTS]
    if events:
        paragraphs.append("\n".join(events))
    judged = [entry.gate for entry in entries if entry.gate is not None]
    if judged:
        paragraphs.append(_summary(judged[-1]))
    return "\n\n".join(paragraphs)


def _event(entry: Entry) -> str:
    what = _EVENTS[entry.kind]
    if entry.moved_alias:
        what += {"withdrawn": " from"}.get(entry.kind, " to") + f" {entry.moved_alias}"
    if entry.location:
        what += f" at {entry.location}"
    if entry.forced:
        what += f", {entry.forced}" if entry.kind == "withdrawn" else f", forced: {entry.forced}"
    if entry.note:
        what += f" ({entry.note})"
    return f"- {entry.time}, {entry.actor}: {' '.join(what.split())}"


def _summary(gate: GateRecord) -> str:
    against = f" against champion `{gate.champion_bundle[:12]}`" if gate.champion_bundle else ""
    lines = [
        f"Gate {gate.gate_name}: **{gate.outcome}**{against}",
        "",
        "| check | of | result | found |",
        "|---|---|---|---|",
    ]
    for check in gate.checks:
        cells = (check.kind, check.name, check.outcome, check.text)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    documents = {"report": gate.report, "gate": gate.gate, "study": gate.study}
    kept = [f"`promotions/{kind}-{digest}.json`" for kind, digest in documents.items() if digest]
    return "\n".join([*lines, "", f"Beside the ledger: {', '.join(kept)}"])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
