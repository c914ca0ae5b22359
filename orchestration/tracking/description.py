"""The description of a run in Markdown: what it is, and links to its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from orchestration.tracking.facts import CHECKPOINTS, Facts, gpus_of
from training.stages import STAGES

_SHORT = 12
_LISTED = 5  # of the checkpoints; the file has all
_DATASET_LINES = 10
_DETAIL = re.compile(r"_on_real$|_q\d+$")  # of the real clips, or of a quantile


class Links(Protocol):
    """Addresses within a tracker; None for what it has no address of."""

    def run_with_bundle(self, bundle: str) -> str | None:
        """That of the run which produced the bundle with this id."""

    def file(self, name: str) -> str | None:
        """That of an attached file."""


class NoLinks:
    """For trackers whose pages cannot be addressed before they exist."""

    def run_with_bundle(self, bundle: str) -> str | None:
        """Unknown."""

    def file(self, name: str) -> str | None:
        """Unknown."""


def describe(facts: Facts, links: Links) -> str:
    """The description: a sentence, and a table of the run's parts."""
    rows = list(_rows(facts, links))
    table = "\n".join(f"| {label} | {text} |" for label, text in rows)
    return f"{_summary(facts)}\n\n| | |\n|---|---|\n{table}\n"


def _summary(facts: Facts) -> str:
    start = facts.start
    if "stage" not in start:
        return f"**{facts.run.name}** ({facts.run.kind})."
    stage = STAGES[int(start["stage"])].name if int(start["stage"]) in STAGES else ""
    workers = "1 worker" if start["workers"] == 1 else f"{start['workers']} workers"
    sizes = [f"{start['steps']:,} steps", f"{workers} on {start['device']}"]
    if start.get("clips") is not None:
        sizes.insert(0, f"{start['clips']:,} clips")
    if start.get("weights") is not None:
        sizes.append(f"{start['trainable_weights']:,} of {start['weights']:,} parameters trained")
    return f"**Preset {start['preset']}, stage {start['stage']}: {stage}.** {', '.join(sizes)}."


def _rows(facts: Facts, links: Links) -> Iterator[tuple[str, str]]:
    yield "run folder", f"`{facts.run.folder.resolve()}`"
    if "config_hash" in facts.start:
        config_hash = f"`{str(facts.start['config_hash'])[:_SHORT]}`"
        yield "configuration", _linked(config_hash, links.file("config.yaml"))
    for each in facts.datasets[:_DATASET_LINES]:
        yield "dataset", f"`{each.location}`, digest `{each.digest[:_SHORT]}`"
    for name in ("parent", "base"):
        if facts.start.get(name):
            bundle = str(facts.start[name])
            yield name, f"bundle {_linked(f'`{bundle[:_SHORT]}`', links.run_with_bundle(bundle))}"
    if "code" in facts.start:
        yield "code", f"`{facts.start['code']}`"
    if facts.environment:
        found = _environment(facts.environment)
        yield "environment", _linked(found, links.file("environment.json"))
    yield from _products(facts, links)


def _products(facts: Facts, links: Links) -> Iterator[tuple[str, str]]:
    newest = list(reversed(facts.checkpoints))
    for each in newest[:_LISTED]:
        yield "checkpoint", f"step {each.step:,}: `{each.uri}`, digest `{each.digest[:_SHORT]}`"
    if len(newest) > _LISTED:
        yield "", f"{len(newest) - _LISTED} more in {_linked(CHECKPOINTS, links.file(CHECKPOINTS))}"
    if facts.bundle is not None:
        yield "bundle", f"`{facts.bundle.id[:_SHORT]}` in `{facts.bundle.folder}`"
    for report in facts.reports:
        page = links.file(f"reports/{report.name}/index.html") if report.page else None
        name = _linked(f"{report.evaluated.protocol}, {report.evaluated.clips:,} clips", page)
        yield "report", f"{name}: {_figures(report.evaluated.values)}"
    for tag, text in facts.standing.items():
        if text:
            yield tag.replace(".", " "), text
    if facts.bundle is not None:
        yield "lineage", f"`animatic lineage {facts.bundle.id[:_SHORT]} --html lineage.html`"


def _environment(environment: Mapping[str, Any]) -> str:
    hosts = environment["hosts"]
    machines = str(hosts[0]["host"]) if len(hosts) == 1 else f"{len(hosts)} machines"
    processors = gpus_of(environment) or f"{sum(host['cores'] for host in hosts)} CPU cores"
    lock = str(environment["lock"])[:_SHORT]
    return f"Python {environment['python']}, packages `{lock}`, {processors} on {machines}"


def _figures(values: Mapping[str, float]) -> str:
    """Those of the generated clips, without their parts; the report has all."""
    values = {name: value for name, value in values.items() if not _DETAIL.search(name)}
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(values.items()))


def _linked(text: str, address: str | None) -> str:
    return f"[{text}]({address})" if address else text
