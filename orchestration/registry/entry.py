"""One entry of the ledger, and the draft that it is written from."""

from __future__ import annotations

import getpass
import os
import uuid
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from core.urls import without_credentials
from orchestration.registry.gate_record import GateRecord

if TYPE_CHECKING:
    from models.bundle import Bundle

Kind = Literal["accepted", "promoted", "rolled_back", "exported", "deployed", "withdrawn"]
FORMAT = 2
# Events of a bundle that was opened where they were recorded.
_OPENED = ("accepted", "promoted", "rolled_back", "exported")
CHAMPION = "champion"


class Entry(BaseModel):
    """One event. Fields that this version does not know are kept: they are covered by the hash all the same.

    Attributes:
        format: of the line; 1 for those of earlier versions, which lack it.
        id: unique, so that two equal drafts never are one entry; empty in format 1.
        seq: number of the entry, from 0.
        kind: what happened to the bundle.
        bundle_path: its folder, relative to the registry if it is below it, and absolute otherwise.
        host: machine that the folder is on, where the registry is in an object store; empty otherwise, and
            for events that need no files.
        replaced: id of the bundle that had the alias before.
        gate: the decision that a promotion was made on; None for other events, and for promotions of earlier
            versions, which had no gate.
        forced: why something was done that would have been refused; empty if nothing was.
        alias: that was moved (promoted, rolled_back) or removed (withdrawn); empty in format 1, whose only
            one is ``champion``, and where a bundle was withdrawn from use.
        location: URL of an export's pointer, or of what serves a deployment.
        digest: of an export's manifest.
        export_format: version of an export's layout.
        previous, hash: chain the entries.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    format: int = 1
    id: str = ""
    seq: int
    time: str
    kind: Kind
    bundle_id: str
    bundle_path: str
    host: str = ""
    stage: int
    preset: str
    actor: str
    replaced: str | None = None
    note: str = ""
    gate: GateRecord | None = None
    forced: str = ""
    alias: str = ""
    location: str = ""
    digest: str = ""
    export_format: str = ""
    previous: str
    hash: str = ""

    @property
    def moved_alias(self) -> str:
        """The alias that a promotion, rollback or removal is about; empty for other events."""
        if self.kind in ("promoted", "rolled_back"):
            return self.alias or CHAMPION
        return self.alias if self.kind == "withdrawn" else ""


@dataclass(frozen=True)
class Draft:
    """An event that is to be recorded; fields as of :class:`Entry`.

    Attributes:
        bundle_path: folder of the bundle.
        actor: who acts; ``ANIMATIC_ACTOR`` or the login name if None.
    """

    kind: Kind
    bundle_id: str
    bundle_path: Path
    stage: int
    preset: str
    actor: str | None = None
    replaced: str | None = None
    note: str = ""
    gate: GateRecord | None = None
    forced: str = ""
    alias: str = ""
    location: str = ""
    digest: str = ""
    export_format: str = ""

    @classmethod
    def of(cls, kind: Kind, bundle: Bundle, *, actor: str | None = None, note: str = "") -> Draft:
        """An event of an opened bundle; :func:`dataclasses.replace` adds the rest."""
        info = bundle.info
        return cls(kind, bundle.id, bundle.folder, info.stage, info.preset, actor, note=note)

    def entry(self, seq: int, previous: str, bundle_path: str, host: str = "") -> Entry:
        """The entry that follows the one with the hash ``previous``, still without its own.

        ``host``: the machine of this process, where paths have a meaning on one machine only.
        Passwords, tokens and signatures of URLs are left out: an entry can never be changed.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("note", "forced", "location"):
            values[name] = without_credentials(values[name])
        return Entry(
            **{
                **values,
                "format": FORMAT,
                "id": uuid.uuid4().hex,
                "seq": seq,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "bundle_path": bundle_path,
                "host": host if self.kind in _OPENED else "",
                "actor": self.actor or whoami(),
                "previous": previous,
            }
        )


def whoami() -> str:
    """Who acts: ``ANIMATIC_ACTOR`` if set, otherwise the login name."""
    try:
        return os.environ.get("ANIMATIC_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        # Containers often run under a user id without a name.
        return f"uid-{os.getuid()}"
