"""What a report must fulfil for promotion: the content of ``gate.yaml``."""

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from core.canonical_json import digest_of
from core.config.identity import IdentityFormat
from core.config.keys import nearest
from core.config.section import Section
from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.evaluate.metrics import REGISTRY
from pipelines.evaluate.records import ProtocolRecord

DEFAULTS = Path(__file__).parent / "defaults"
# Fields that later versions add count once they leave their default, so that digests stay valid.
IDENTITY = IdentityFormat({})


class Bounds(Section):
    """The values that a metric of the report may have, in its unit."""

    at_least: float | None = Field(None, description="smallest value that passes")
    at_most: float | None = Field(None, description="largest value that passes")


class Floors(Section):
    """What every report must fulfil, whatever the champion's is like."""

    clips: int = Field(ge=1, description="fewest clips")
    frozen: int = Field(0, ge=0, description="most generated clips that do not move")
    black: int = Field(0, ge=0, description="most generated clips that are black")
    protocol: dict[str, JsonValue] = Field(
        default_factory=dict, description="values that the report's protocol must have, by name"
    )
    values: dict[str, Bounds] = Field(default_factory=dict, description="bounds by metric")
    losses: dict[str, float] = Field(
        default_factory=dict,
        description="by metric, the largest loss against the champion's value, whatever its interval",
    )


class StudyRule(Section):
    """What a preference study of the bundle against the champion must show."""

    question: Literal["coherence", "motion", "conformity"] = Field(description="the question that counts")
    win_rate: float = Field(
        ge=0, le=1, description="the rate's 95 % interval must be above it; a tie is half a win"
    )
    raters: int = Field(1, ge=1, description="fewest raters")


class GatePolicy(Section):
    """A promotion gate: hard floors, margins against the champion, and a preference study if required."""

    name: str = Field(min_length=1, description="for messages and the ledger")
    floors: Floors
    margins: dict[str, float] = Field(
        default_factory=dict,
        description="by metric, the loss against the champion that is accepted; all of them are required",
    )
    improve: list[str] = Field(
        default_factory=list, description="metrics of which at least one must be better than the champion's"
    )
    study: StudyRule | None = Field(None, description="null: none is required")

    @property
    def compared(self) -> list[str]:
        """The metrics that must be measured as the champion's were."""
        return list(dict.fromkeys([*self.margins, *self.floors.losses]))

    def content(self) -> dict[str, JsonValue]:
        """What identifies the gate: its settings, not the comments and the order of its file."""
        return IDENTITY.values(self)

    def digest(self) -> str:
        """sha256 of the canonical JSON of :meth:`content`."""
        return digest_of(self.content())


def read_policy(path: Path) -> GatePolicy:
    """The gate of a file. Raises AnimaticError for one that does not exist or contains what no gate has."""
    try:
        policy = configure(GatePolicy, files=[path])
    except AnimaticError as error:
        named = str(path) in str(error)
        raise AnimaticError(str(error) if named else f"{path}: {error}") from error
    problem = _problem(policy)
    if problem is not None:
        raise AnimaticError(f"{path}: {problem}")
    return policy


def shipped_presets() -> list[str]:
    """The presets that have a gate of their own."""
    return sorted(path.stem for path in DEFAULTS.glob("*.yaml"))


def shipped_policy(preset: str) -> GatePolicy:
    """The gate of a preset. Raises AnimaticError for a preset without one."""
    known = shipped_presets()
    if preset not in known:
        raise AnimaticError(
            f"preset {preset!r} has no gate, {', '.join(known)} have: name a file with --gate"
        )
    return read_policy(DEFAULTS / f"{preset}.yaml")


def _problem(policy: GatePolicy) -> str | None:
    """What is wrong with a gate whose settings have the right types; None if nothing is."""
    floors = policy.floors
    named = {
        "floors.values": list(floors.values),
        "floors.losses": list(floors.losses),
        "margins": list(policy.margins),
        "improve": policy.improve,
    }
    for section, names in named.items():
        for name in names:
            if name not in REGISTRY:
                return f"{section} has no metric {name!r}{nearest(name, list(REGISTRY))}"
    for name in floors.protocol:
        if name not in ProtocolRecord.__annotations__:
            return f"floors.protocol has no {name!r}{nearest(name, list(ProtocolRecord.__annotations__))}"
    for section, losses in (("floors.losses", floors.losses), ("margins", policy.margins)):
        for name, loss in losses.items():
            if loss < 0:
                return f"{section}.{name} is {loss}: an accepted loss is 0 or more"
    for name, bounds in floors.values.items():
        if bounds.at_least is None and bounds.at_most is None:
            return f"floors.values.{name} has no bound: give at_least, at_most or both"
        if bounds.at_least is not None and bounds.at_most is not None and bounds.at_least > bounds.at_most:
            return f"floors.values.{name} lets no value pass: at_least is above at_most"
    for name in policy.improve:
        if name not in policy.margins:
            return f"improve lists {name}, which has no margin: add it to margins, with 0 or more"
    return None
