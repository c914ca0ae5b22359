"""Questions about the entries of a ledger: what was accepted, which bundles have which alias."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from orchestration.registry.aliases import PREVIOUS, AliasState, states
from orchestration.registry.entry import CHAMPION, Entry


class History(ABC):
    """The entries of a ledger; ``str()`` names it in messages."""

    @property
    @abstractmethod
    def base(self) -> Path | None:
        """The folder that relative paths of bundles start from; None in an object store."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """All events, oldest first.

        Raises:
            AnimaticError: the ledger is damaged.
        """

    def snapshot(self) -> Snapshot:
        """The entries as they are now, for several questions. Raises as :meth:`entries`."""
        return Snapshot(str(self), self.base, tuple(self.entries()))

    def newest(self, stage: int, preset: str) -> Entry | None:
        """The bundle of ``stage`` and ``preset`` accepted last, of those that were not withdrawn from use."""
        matches = [e for e in self.in_use() if (e.kind, e.stage, e.preset) == ("accepted", stage, preset)]
        return matches[-1] if matches else None

    def in_use(self) -> list[Entry]:
        """The events of bundles that were not withdrawn from use, oldest first."""
        entries = self.entries()
        gone = {entry.bundle_id for entry in entries if entry.kind == "withdrawn" and not entry.alias}
        return [entry for entry in entries if entry.bundle_id not in gone]

    def accepted(self, bundle_id: str) -> Entry | None:
        """The newest acceptance of this bundle."""
        matches = [e for e in self.entries() if e.kind == "accepted" and e.bundle_id == bundle_id]
        return matches[-1] if matches else None

    def withdrawn(self, bundle_id: str) -> Entry | None:
        """The entry that withdrew this bundle from use; None if none did."""
        matches = [e for e in self.log(bundle_id) if e.kind == "withdrawn" and not e.alias]
        return matches[-1] if matches else None

    def log(self, bundle_id: str) -> list[Entry]:
        """Every event of this bundle, oldest first."""
        return [entry for entry in self.entries() if entry.bundle_id == bundle_id]

    def alias(self, preset: str, name: str) -> Entry | None:
        """The promotion by which a bundle has the alias; None if none has it.

        ``previous``: the promotion of the champion before, unless that bundle was withdrawn since.
        """
        return self.aliases(preset).get(name)

    def aliases(self, preset: str) -> dict[str, Entry]:
        """Every alias of a preset that a bundle has, ``previous`` included, and the promotion behind it."""
        history = self.snapshot()
        known = states(history.entries(), preset)
        found = {name: state.held[-1] for name, state in known.items() if not state.vacant}
        before = history.champion_state(preset).previous
        if before is not None and history.withdrawn(before.bundle_id) is None:
            found[PREVIOUS] = before
        return found

    def champion_state(self, preset: str) -> AliasState:
        """The promotions behind the champion of a preset."""
        return states(self.entries(), preset).get(CHAMPION, AliasState())

    def champions(self, preset: str) -> list[Entry]:
        """The promotions of ``preset`` that were not rolled back, oldest first: the last one is champion.

        Empty while the preset has no champion.
        """
        state = self.champion_state(preset)
        return [] if state.vacant else list(state.held)

    def champion(self, preset: str | None = None) -> Entry | None:
        """The champion of ``preset``; without a preset, of the one promoted or rolled back last."""
        history = self.snapshot()
        if preset is None:
            moves = [e for e in history.entries() if e.moved_alias == CHAMPION]
            if not moves:
                return None
            preset = moves[-1].preset
        stack = history.champions(preset)
        return stack[-1] if stack else None

    def forced(self, bundle_id: str) -> str:
        """Why the bundle became champion without the gate's consent; empty if its last promotion had it."""
        promotions = [e for e in self.log(bundle_id) if e.kind == "promoted" and e.moved_alias == CHAMPION]
        return promotions[-1].forced if promotions else ""

    def presets(self) -> list[str]:
        """The presets of all entries, in the order of their first."""
        return list(dict.fromkeys(entry.preset for entry in self.entries()))

    def path_of(self, entry: Entry) -> Path:
        """The folder of an entry's bundle."""
        path = Path(entry.bundle_path)
        return path if self.base is None else self.base / path

    def folders_of(self, bundle_id: str) -> list[Path]:
        """All folders that were recorded for a bundle, the newest first."""
        folders = [self.path_of(entry) for entry in reversed(self.log(bundle_id))]
        return list(dict.fromkeys(folders))


@dataclass(frozen=True)
class Snapshot(History):
    """The entries at one moment."""

    name: str
    root: Path | None
    all_entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def base(self) -> Path | None:
        """See :class:`History`."""
        return self.root

    def snapshot(self) -> Snapshot:
        """See :class:`History`."""
        return self

    def entries(self) -> list[Entry]:
        """See :class:`History`."""
        return list(self.all_entries)
