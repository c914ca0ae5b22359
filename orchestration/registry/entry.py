"""One entry of the ledger, and what its hash covers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.canonical_json import COMPACT_ESCAPED
from core.config.identity import IdentityFormat
from orchestration.registry.gate_record import GateRecord

Kind = Literal["accepted", "promoted", "rolled_back"]
GENESIS = "0" * 64
# What a hash covers. Fields that are added to Entry later count only once they leave their default, so that
# the chain of an older ledger stays valid.
HASHED = IdentityFormat(
    {
        "": (
            "seq",
            "time",
            "kind",
            "bundle_id",
            "bundle_path",
            "stage",
            "preset",
            "actor",
            "replaced",
            "note",
            "previous",
        )
    },
    excluded={"hash"},
)


class Entry(BaseModel):
    """One event. ``previous`` and ``hash`` chain it; ``replaced`` is the id of the previous champion.

    ``gate`` is the decision that a promotion was made on; ``forced`` the reason of one that was made without
    its consent. Both are empty for other events, and in promotions of earlier versions, which had no gate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int
    time: str
    kind: Kind
    bundle_id: str
    bundle_path: str
    stage: int
    preset: str
    actor: str
    replaced: str | None = None
    note: str = ""
    gate: GateRecord | None = None
    forced: str = ""
    previous: str
    hash: str = ""

    def digest(self) -> str:
        """sha256 of the fields in ``HASHED``, as ``COMPACT_ESCAPED`` writes them."""
        return COMPACT_ESCAPED.digest(HASHED.values(self))

    def line(self) -> bytes:
        """The entry as the ledger stores it. Fields that were added later are left out while they are empty,
        so that lines without them stay readable for the versions before."""
        empty = {name for name in ("gate", "forced") if not getattr(self, name)}
        return self.model_dump_json(exclude=empty).encode()
