"""What was evaluated and how, in words and as a command."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.evaluate.records import EvaluationReport

_NAMED = 24  # keys of frozen or black clips that the page lists
_DIGITS = 12


@dataclass(frozen=True)
class SystemFacts:
    """A system: facts by name, and the command that evaluates it again."""

    name: str
    facts: list[tuple[str, str]]
    command: str


@dataclass(frozen=True)
class Degenerate:
    """Generated clips of a system that do not move or are black: how many, and the keys of the first."""

    label: str
    kind: str
    count: int
    keys: list[str]


def labels(reports: Sequence[EvaluationReport]) -> list[str]:
    """A name for each system; systems of one name are distinguished by their digests."""
    names = [report["system"]["name"] for report in reports]
    counts = Counter(names)
    return [
        f"{name} ({report['system']['digest'][:8]})" if counts[name] > 1 else name
        for name, report in zip(names, reports, strict=True)
    ]


def degenerate_clips(reports: Sequence[EvaluationReport]) -> list[Degenerate]:
    """The frozen and the black clips of each system that has any."""
    found = [
        Degenerate(label, kind, len(keys), keys[:_NAMED])
        for label, report in zip(labels(reports), reports, strict=True)
        for kind, keys in (("do not move", report["frozen"]), ("are black", report["black"]))
    ]
    return [each for each in found if each.count]


def protocol_facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """What all systems on the page share."""
    protocol = report["protocol"]
    missing = ", ".join(f"{count} {reason}" for reason, count in sorted(protocol["missing"].items()))
    return [
        ("Protocol", protocol["name"]),
        ("Clips", f"{protocol['n']}"),
        ("Left out", missing or "none"),
        ("Size", f"{protocol['frames']} frames of {protocol['width']}x{protocol['height']}"),
        ("Stride", f"{protocol['stride']}"),
        ("Condition", f"{protocol['condition']} frame; prompts: {protocol['prompts']}"),
        ("Seed", f"{protocol['seed']}"),
        ("Data", protocol["data"][:_DIGITS]),
        ("Chosen clips", protocol["clips"][:_DIGITS]),
    ]


def system_facts(report: EvaluationReport) -> SystemFacts:
    """One system, and the report's own digest."""
    system = report["system"]
    facts = [("Kind", system["kind"]), ("Digest", system["digest"][:_DIGITS])]
    if "stage" in system and "preset" in system:
        facts.append(("Bundle", f"stage {system['stage']}, preset {system['preset']}"))
    if "predicts" in system:
        facts.append(("Predicts", system["predicts"]))
    settings = {name: value for name, value in system.get("sampling", {}).items() if value is not None}
    if settings:
        facts.append(("Sampling", ", ".join(f"{name} {_plain(value)}" for name, value in settings.items())))
    if "fps_condition" in system:
        facts.append(("Rate input", system["fps_condition"]))
    for part, digest in system.get("frozen_parts", {}).items():
        facts.append((part.capitalize(), digest[:_DIGITS]))
    facts.append(("Report", report["digest"][:_DIGITS]))
    return SystemFacts(system["name"], facts, _command(report))


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _command(report: EvaluationReport) -> str:
    """The command with the settings that the report records; DATA, FOLDER and WEIGHTS are the reader's."""
    protocol, system = report["protocol"], report["system"]
    words = ["animatic", "evaluate", "DATA"]
    if protocol["name"] != "held-out":
        words += ["--protocol", protocol["name"]]
    words += {
        "bundle": ["--bundle", system["digest"]],
        "generated": ["--generated", "FOLDER"],
        "baseline": ["--baseline", system["name"], "--weights", "WEIGHTS"],
    }[system["kind"]]
    words += ["--clips", f"{protocol['n']}", "--seed", f"{protocol['seed']}"]
    words += ["--stride", f"{protocol['stride']}"]
    steps = system.get("sampling", {}).get("steps")
    if system["kind"] == "bundle" and steps is not None:
        words += ["--steps", f"{steps}"]
    return shlex.join(words)
