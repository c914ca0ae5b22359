"""What a tracker displays about a run besides values and samples: tags, files, datasets, the bundle.

Facts are computed from the run folder as it is now, so that a replay gives what a live mirror gave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.canonical_json import digest_of
from core.urls import without_credentials
from models.bundle import INFO, open_bundle
from orchestration.tracking.evaluations import ReportFiles, reports_of_run
from orchestration.tracking.pages import self_contained
from orchestration.tracking.run import TrackedRun
from training.journal import JournalEntry, read_journal

# Lines that change the facts; all others are values and samples.
FACTUAL = frozenset({"start", "environment", "checkpoint", "resume", "bundle", "stop", "end"})
CHECKPOINTS, BUNDLE, LISTED_HOSTS = "checkpoints.json", "bundle", 8


@dataclass(frozen=True)
class Attachment:
    """A file at the tracker: its path there, and its text."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        return digest_of(self.text)


@dataclass(frozen=True)
class UsedDataset:
    """A dataset that the run trains on; ``clips`` of all datasets together where there are several."""

    name: str
    location: str
    digest: str
    clips: int | None


@dataclass(frozen=True)
class Checkpoint:
    """One that exists."""

    step: int
    uri: str
    digest: str


@dataclass(frozen=True)
class ProducedBundle:
    """The run's product, and the sha256 of its files by name: that of ``bundle.json`` is the id."""

    id: str
    folder: Path
    files: Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """All of them.

    ``start`` and ``environment`` are the newest events of these names, empty without one. ``standing`` is
    what the ledger records of the bundle, as text by tag: its aliases, the gate's outcome, by whom and when.
    Trackers keep a tag that is left out, so what no longer applies is an empty text.
    """

    run: TrackedRun
    start: Mapping[str, Any]
    environment: Mapping[str, Any]
    checkpoints: Sequence[Checkpoint]
    datasets: Sequence[UsedDataset]
    bundle: ProducedBundle | None
    reports: Sequence[ReportFiles]
    tags: Mapping[str, str]
    standing: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Changes with anything that is displayed."""
        reports = [[each.evaluated.folder, each.evaluated.report] for each in self.reports]
        listed = [[each.step, each.digest] for each in self.checkpoints]
        inputs = [[each.location, each.digest, each.clips] for each in self.datasets]
        return digest_of([dict(self.tags), dict(self.standing), listed, inputs, reports])

    def changes(self, attached: Mapping[str, str]) -> Changes:
        """What is new or other than ``attached``: digests by name, of the bundle its id by ``BUNDLE``."""
        new = [each for each in self.attachments() if attached.get(each.name) != each.digest]
        bundle = self.bundle if self.bundle and attached.get(BUNDLE) != self.bundle.id else None
        return Changes(new, bundle)

    def attachments(self) -> list[Attachment]:
        """The configuration, the environment, the checkpoints, and each report with its page."""
        found = []
        for path in (self.run.paths.config, self.run.paths.environment):
            if path.is_file():
                found.append(Attachment(path.name, without_credentials(path.read_text())))
        if self.checkpoints:
            listed = [vars(each) for each in self.checkpoints]
            found.append(Attachment(CHECKPOINTS, json.dumps(listed, indent=1) + "\n"))
        for each in self.reports:
            if each.report is not None:
                found.append(Attachment(f"reports/{each.name}/report.json", each.report.read_text()))
            if each.page is not None:
                found.append(Attachment(f"reports/{each.name}/index.html", self_contained(each.page)))
        return found


@dataclass(frozen=True)
class Changes:
    """What a tracker has not received yet; ``bundle`` is None if it has."""

    attachments: Sequence[Attachment]
    bundle: ProducedBundle | None

    def after(self, attached: Mapping[str, str]) -> dict[str, str]:
        """What is attached once these are."""
        new = {each.name: each.digest for each in self.attachments}
        return {**attached, **new, **({BUNDLE: self.bundle.id} if self.bundle else {})}


def facts_of(run: TrackedRun, standing: Mapping[str, str] | None = None) -> Facts:
    """The facts of a run as its folder records them now.

    Raises:
        AnimaticError: the record of its evaluations is damaged.
    """
    entries = [entry for entry in read_journal(run.journal, metrics=False) if entry.event in FACTUAL]
    newest = {entry.event: entry.content for entry in entries}
    start, environment = newest.get("start", {}), newest.get("environment", {})
    bundle = _bundle(newest["bundle"], run) if "bundle" in newest else None
    return Facts(
        run=run,
        start=start,
        environment=environment,
        checkpoints=_checkpoints(entries, run),
        datasets=_datasets(run, start),
        bundle=bundle,
        reports=reports_of_run(run.folder, bundle.id) if bundle else [],
        tags=_start_tags(start) | _environment_tags(environment) | _product_tags(entries),
        standing=standing or {},
    )


def _start_tags(start: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "stage": "stage",
        "preset": "preset",
        "config_hash": "config_hash",
        "code": "code",
        "device": "device",
        "workers": "workers",
        "dataset_digest": "dataset.digest",
        "base": "base.id",
        "parent": "parent.id",
        "steps": "count.steps",
        "clips": "count.clips",
        "parameters": "count.tensors",
        "weights": "count.parameters",
        "trainable_weights": "count.trainable_parameters",
    }
    return {tag: str(start[name]) for name, tag in names.items() if start.get(name) is not None}


def _environment_tags(environment: Mapping[str, Any]) -> dict[str, str]:
    if not environment:
        return {}
    names = ("python", "platform", "cuda", "lock", "packages")
    values = {name: environment.get(name) for name in names}
    hosts = [str(host["host"]) for host in environment["hosts"]]
    more = [f"{len(hosts) - LISTED_HOSTS} more"] if len(hosts) > LISTED_HOSTS else []
    values["hosts"] = ", ".join([*hosts[:LISTED_HOSTS], *more])
    values["gpus"] = gpus_of(environment) or "none"
    return {f"environment.{name}": str(value) for name, value in values.items() if value is not None}


def gpus_of(environment: Mapping[str, Any]) -> str:
    """Number and model of the GPUs of all workers, as ``8 × NVIDIA H100``; empty on CPUs."""
    names = [str(gpu["name"]) for host in environment.get("hosts", ()) for gpu in host["gpus"]]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))


def _product_tags(entries: Sequence[JournalEntry]) -> dict[str, str]:
    """The newest checkpoint, and the bundle. Trackers never receive their bytes."""
    tags: dict[str, str] = {}
    for entry in entries:
        if entry.event == "checkpoint":
            tags["checkpoint.step"] = str(entry.step)
        fields = {"checkpoint": ("uri", "digest"), "bundle": ("path", "id")}.get(entry.event, ())
        tags |= {
            f"{entry.event}.{name}": str(entry.content[name]) for name in fields if name in entry.content
        }
    return tags


def _checkpoints(entries: Sequence[JournalEntry], run: TrackedRun) -> list[Checkpoint]:
    """Those of the journal that still exist, in order of their steps. A step may have been saved again."""
    found: dict[Path, Checkpoint] = {}
    for entry in entries:
        if entry.event == "checkpoint":
            path = run.paths.checkpoints / Path(str(entry.content["uri"])).name
            if path.is_dir():
                found[path] = Checkpoint(entry.step, path.resolve().as_uri(), str(entry.content["digest"]))
    return sorted(found.values(), key=lambda each: each.step)


def _datasets(run: TrackedRun, start: Mapping[str, Any]) -> list[UsedDataset]:
    """Locations as configured, with digests of the journal; earlier journals have the digest of one only."""
    data = run.config().get("data")
    if not isinstance(data, Mapping) or not data.get("dataset") or "dataset_digest" not in start:
        return []
    chosen = [data, *(data.get("others") or ())]
    locations = [without_credentials(str(each["dataset"])) for each in chosen]
    recorded = start.get("data") or []
    digests = [str(each["digest"]) for each in recorded] or [str(start["dataset_digest"])]
    if len(digests) != len(locations):
        return []
    clips = start.get("clips")
    return [
        UsedDataset(location.rstrip("/").rpartition("/")[2], location, digest, clips)
        for location, digest in zip(locations, digests, strict=True)
    ]


def _bundle(content: Mapping[str, Any], run: TrackedRun) -> ProducedBundle | None:
    """The bundle that the journal names, if the run folder still contains it."""
    if not (run.paths.bundle / INFO).is_file():
        return None
    bundle = open_bundle(run.paths.bundle, verify=False)
    if bundle.id != content["id"]:
        return None
    return ProducedBundle(bundle.id, run.paths.bundle.resolve(), {INFO: bundle.id, **bundle.info.files})
