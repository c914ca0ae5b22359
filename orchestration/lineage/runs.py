"""What the folder of a run records, and whether it agrees with itself and with its bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.files import sha256
from core.package_lock import lock_digest
from models.bundle import INFO, BundleInfo, TrainedOn
from orchestration.lineage.looking import Check
from training.checkpoints import MANIFEST, find_damage
from training.config import RunConfig, config_hash, load
from training.journal import JournalEntry, read_journal
from training.run_folder import RunFolder


@dataclass(frozen=True)
class RunInputs:
    """What decides the weights of a run, by digests: its identity in a lineage.

    ``sources``: ids of its parent and base; ``continued``: the digest of another run's checkpoint.
    """

    config_hash: str
    data: str | None
    sources: tuple[str, ...]
    continued: str | None = None

    @property
    def key(self) -> str:
        """Its name in the graph."""
        return f"run:{digest_of([self.config_hash, self.data, sorted(self.sources), self.continued])}"

    @classmethod
    def of_bundle(cls, info: BundleInfo) -> RunInputs:
        """Those of the run that a bundle is the product of."""
        sources = [source for source in (info.parent, info.extra.get("base")) if source]
        continued = info.extra.get("continued")
        return cls(
            info.config_hash,
            info.dataset_digest,
            tuple(sources),
            continued["checkpoint"] if continued else None,
        )


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint as the journal records it; ``folder`` as it would be now."""

    step: int
    digest: str
    folder: Path


class RecordedRun:
    """A run folder, read when it is asked."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)

    @cached_property
    def events(self) -> list[JournalEntry]:
        """The journal without its metrics."""
        return read_journal(self.folder.journal, metrics=False)

    @cached_property
    def config(self) -> RunConfig | str:
        """The configuration, or why it cannot be read."""
        try:
            return load(self.folder.config)
        except (AnimaticError, OSError) as error:
            return str(error)

    @property
    def start(self) -> Mapping[str, object]:
        """The newest start; empty in a run that did not begin."""
        return self.last("start")

    def last(self, event: str) -> Mapping[str, object]:
        """The newest event of a kind; empty without one."""
        found = [entry.content for entry in self.events if entry.event == event]
        return found[-1] if found else {}

    @property
    def bundle_ids(self) -> set[str]:
        """Ids of the bundle that it wrote, by its journal and by its folder."""
        found = {str(entry.content.get("id")) for entry in self.events if entry.event == "bundle"}
        info = self.folder.bundle / INFO
        return found | ({sha256(info)} if info.is_file() else set())

    @cached_property
    def checkpoints(self) -> list[SavedCheckpoint]:
        """Every checkpoint that was written, by step; of one that was repeated, the last."""
        found = {
            entry.step: SavedCheckpoint(
                entry.step,
                str(entry.content.get("digest")),
                self.folder.checkpoints / Path(str(entry.content.get("uri"))).name,
            )
            for entry in self.events
            if entry.event == "checkpoint"
        }
        return [found[step] for step in sorted(found)]

    @property
    def inputs(self) -> RunInputs | None:
        """Its identity; None for a run that did not begin."""
        start = self.start
        if "config_hash" not in start:
            return None
        sources = [str(start[name]) for name in ("parent", "base") if start.get(name)]
        data = start.get("dataset_digest")
        return RunInputs(
            str(start["config_hash"]), str(data) if data else None, tuple(sources), self._continued
        )

    @property
    def data(self) -> list[TrainedOn]:
        """What it trains on, dataset by dataset; empty in runs of earlier versions."""
        found = self.start.get("data")
        return list(found) if isinstance(found, list) else []

    @property
    def _continued(self) -> str | None:
        """The checkpoint of another run that it began with: the first resumption that is not its own."""
        if not isinstance(self.config, str) and self.config.init.checkpoint is None:
            return None
        own = {checkpoint.digest for checkpoint in self.checkpoints}
        resumed = [str(entry.content.get("digest")) for entry in self.events if entry.event == "resume"]
        return next((digest for digest in resumed if digest not in own), None)

    def check(self, expected: RunInputs) -> Check:
        """Whether configuration and journal are those of the run with these inputs."""
        if isinstance(self.config, str):
            return Check("changed", self.config)
        found = config_hash(self.config)
        if found != expected.config_hash:
            return Check("changed", f"config.yaml has the hash {found[:12]}, not {expected.config_hash[:12]}")
        if self.inputs is None:
            return Check("changed", "the journal does not record its start")
        if self.inputs.key != expected.key:
            return Check("changed", "the journal records other data or bundles than the bundle does")
        return Check("verified", "config.yaml and journal agree with the bundle")


def check_checkpoint(checkpoint: SavedCheckpoint, *, deep: bool) -> Check:
    """Compare a checkpoint with the digest in the journal, and its files with its manifest: sizes, or all
    bytes."""
    manifest = checkpoint.folder / MANIFEST
    if not manifest.is_file():
        return Check("missing", "deleted: a run keeps the newest few")
    if sha256(manifest) != checkpoint.digest:
        return Check("changed", f"{checkpoint.folder.name}: the manifest does not match its digest")
    try:
        damage = find_damage(checkpoint.folder, digests=deep)
    except AnimaticError as error:  # of a later version
        return Check("not_checked", str(error))
    if damage is not None:
        return Check("changed", f"{checkpoint.folder.name}: {damage}")
    return Check("verified", "all bytes" if deep else "manifest and sizes; --deep reads all bytes")


def check_environment(run: RecordedRun) -> Check:
    """Whether the packages in ``environment.json`` have the digest that the journal records."""
    recorded = run.last("environment").get("lock")
    if recorded is None:
        return Check("not_checked", "not recorded: an earlier version trained it")
    path = run.folder.path / "environment.json"
    if not path.is_file():
        return Check("missing", f"{path.name} was deleted")
    try:
        packages = json.loads(path.read_bytes())["packages"]
        same = lock_digest(packages) == recorded
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Check("changed", f"{path.name} is not the record of an environment")
    return Check("verified") if same else Check("changed", f"{path.name} was edited")
