"""What MLflow's model registry should contain, computed from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration.registry.entry import Entry, Kind
from orchestration.registry.history import History
from orchestration.registry.mirror.description import describe

MODEL_PREFIX = "animatic-"
MOVES = ("promoted", "rolled_back")
# Of a version: the tags that the ledger decides. Tags with other names belong to the users of MLflow.
BUNDLE_TAG = "bundle.id"
TAGS = (BUNDLE_TAG, "stage", "preset", "gate", "forced", "withdrawn", "exported", "deployed")
# MLflow stores no more characters of a tag or description in every database that it supports.
TEXT_LIMIT = 5000


@dataclass(frozen=True)
class VersionState:
    """A bundle as a version of a registered model.

    Attributes:
        bundle_id: identifies the bundle, and the version, whose number differs between stores.
        folder: of the bundle, which can be on another machine.
        tags: names of ``TAGS``, each with its value; those left out have none.
        description: Markdown for MLflow's page of the version.
    """

    bundle_id: str
    folder: Path
    tags: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class ModelState:
    """A preset as a registered model: its versions in the order of the ledger, and bundle ids by alias."""

    name: str
    versions: tuple[VersionState, ...]
    aliases: Mapping[str, str]

    @property
    def description(self) -> str:
        """Markdown for MLflow's page of the model."""
        preset = self.name.removeprefix(MODEL_PREFIX)
        return (
            f"Bundles of preset {preset} that were promoted or have an alias: a mirror of animatic's ledger. "
            "Aliases and descriptions that are changed here are restored by `animatic registry mirror`."
        )


@dataclass(frozen=True)
class RegistryState:
    """All registered models, by preset in alphabetical order."""

    models: tuple[ModelState, ...]


def desired_state(history: History) -> RegistryState:
    """A model for every preset with a promotion or alias, a version for every bundle that was promoted or
    has had an alias.

    Raises:
        AnimaticError: the ledger is damaged, or was written by a newer version.
    """
    entries = history.entries()
    moved = [entry for entry in entries if entry.kind in MOVES]
    presets = sorted({entry.preset for entry in moved})
    return RegistryState(tuple(_model(history, entries, preset) for preset in presets))


def _model(history: History, entries: list[Entry], preset: str) -> ModelState:
    by_bundle: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.preset == preset:
            by_bundle.setdefault(entry.bundle_id, []).append(entry)
    order = dict.fromkeys(
        entry.bundle_id for entry in entries if entry.preset == preset and entry.kind in MOVES
    )
    versions = tuple(_version(history, by_bundle[bundle_id]) for bundle_id in order)
    aliases = {name: entry.bundle_id for name, entry in history.aliases(preset).items()}
    return ModelState(f"{MODEL_PREFIX}{preset}", versions, aliases)


def _version(history: History, entries: list[Entry]) -> VersionState:
    """``entries``: of the bundle, oldest first."""
    last = entries[-1]
    promotions = [entry for entry in entries if entry.kind == "promoted"]
    judged = [entry.gate.outcome for entry in promotions if entry.gate is not None]
    withdrawal = history.withdrawn(last.bundle_id)
    tags = {
        BUNDLE_TAG: last.bundle_id,
        "stage": str(last.stage),
        "preset": last.preset,
        "gate": judged[-1] if judged else "",
        "forced": promotions[-1].forced if promotions else "",
        "withdrawn": (withdrawal.note or "yes") if withdrawal else "",
        "exported": _newest_location(entries, "exported"),
        "deployed": _newest_location(entries, "deployed"),
    }
    return VersionState(
        last.bundle_id,
        history.path_of(last),
        {name: value[:TEXT_LIMIT] for name, value in tags.items() if value},
        describe(entries)[:TEXT_LIMIT],
    )


def _newest_location(entries: list[Entry], kind: Kind) -> str:
    return next((entry.location for entry in reversed(entries) if entry.kind == kind), "")
