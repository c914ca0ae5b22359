"""Questions about the entries of a ledger: what was accepted, which bundles are champions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from orchestration.registry.entry import Entry


class History(ABC):
    """The entries of the ledger at ``path``."""

    path: Path

    @abstractmethod
    def entries(self) -> list[Entry]:
        """All events, oldest first.

        Raises:
            AnimaticError: the ledger is damaged.
        """

    def newest(self, stage: int, preset: str) -> Entry | None:
        """The bundle of ``stage`` and ``preset`` accepted last."""
        matches = [e for e in self.entries() if (e.kind, e.stage, e.preset) == ("accepted", stage, preset)]
        return matches[-1] if matches else None

    def accepted(self, bundle_id: str) -> Entry | None:
        """The newest acceptance of this bundle."""
        matches = [e for e in self.entries() if e.kind == "accepted" and e.bundle_id == bundle_id]
        return matches[-1] if matches else None

    def champions(self, preset: str) -> list[Entry]:
        """The promotions of ``preset`` that were not rolled back, oldest first: the last one is champion."""
        stack: list[Entry] = []
        for entry in self.entries():
            if entry.preset != preset:
                continue
            if entry.kind == "promoted":
                # Earlier versions could enter one promotion several times.
                if not stack or stack[-1].bundle_id != entry.bundle_id:
                    stack.append(entry)
            elif entry.kind == "rolled_back":
                while stack and stack[-1].bundle_id != entry.bundle_id:
                    stack.pop()
        return stack

    def champion(self, preset: str | None = None) -> Entry | None:
        """The champion of ``preset``; without a preset, of the one promoted or rolled back last."""
        if preset is None:
            moves = [e for e in self.entries() if e.kind != "accepted"]
            if not moves:
                return None
            preset = moves[-1].preset
        stack = self.champions(preset)
        return stack[-1] if stack else None

    def forced(self, bundle_id: str) -> str:
        """Why the bundle was promoted without the gate's consent; empty if its last promotion was not."""
        promotions = [e for e in self.entries() if e.kind == "promoted" and e.bundle_id == bundle_id]
        return promotions[-1].forced if promotions else ""

    def path_of(self, entry: Entry) -> Path:
        """The folder of an entry's bundle; paths below the ledger's folder are stored relative to it."""
        path = Path(entry.bundle_path)
        return path if path.is_absolute() else self.path.parent / path

    def folders_of(self, bundle_id: str) -> list[Path]:
        """All folders that were recorded for a bundle, the newest first."""
        folders = [self.path_of(entry) for entry in reversed(self.entries()) if entry.bundle_id == bundle_id]
        return list(dict.fromkeys(folders))
