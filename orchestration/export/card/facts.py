"""What a model card is made of, besides the bundle and what its authors state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestration.lineage import LineageGraph
from orchestration.registry import GateRecord
from pipelines.evaluate import EvaluationReport


@dataclass(frozen=True)
class CardFile:
    """A file beside the card: its path below the card's folder, bytes and sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CardFacts:
    """What the registry knows of a bundle.

    Attributes:
        name: of the model.
        formats: names of the formats that were exported.
        parts: paths below the card's folder of an autoencoder (``codec``) and encoders that the bundle lacks.
        lineage, report, gate: None where there is none.
        forced: why it was promoted without the gate's consent; empty if it was not.
        ledger: hash of the entry of the ledger that the export rests on; None if the ledger has none.
    """

    name: str
    formats: tuple[str, ...] = ("bundle",)
    parts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[CardFile, ...] = ()
    lineage: LineageGraph | None = None
    report: EvaluationReport | None = None
    gate: GateRecord | None = None
    forced: str = ""
    ledger: str | None = None
