"""What an evaluation stores: the records of its folder, and the report.

They are JSON objects, so they are typed as such: the report is read by people and by other tools.
"""

from typing import Literal, NotRequired

from pydantic import ConfigDict, JsonValue, with_config

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

REPORT_FORMAT: Literal[2] = 2
Better = Literal["higher", "lower", "neither"]
ON_REAL = "_on_real"  # ends the names of figures of the real clips, which are equal for all systems
Values = dict[str, float | None]  # of one clip, by column; None: the column does not apply to the clip

_EXACT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@with_config(_EXACT)
class MetricValue(TypedDict):
    """One figure over all clips.

    ``low`` and ``high`` are its 95 % interval, None where no honest interval exists: for a Fréchet distance
    or a single clip. ``n`` is the number of clips that count. ``version`` names the computation: two values
    compare only if their versions are equal. ``details`` are the circumstances of the value: frames,
    stride, seed, how the interval was computed, and what the metric adds.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    better: Better
    version: str
    details: dict[str, JsonValue]


@with_config(_EXACT)
class ClipRow(TypedDict):
    """The figures of one clip by column.

    ``source`` names the source video, by which intervals are clustered; ``fps`` is the rate of the real clip
    as sampled. ``frozen`` and ``black`` are as :mod:`pipelines.evaluate.degenerate` defines them.
    """

    key: str
    caption: str
    source: str
    fps: float
    frozen: bool
    black: bool
    metrics: Values


@with_config(_EXACT)
class ProtocolRecord(TypedDict):
    """What comparable reports share: the clips and how they are used.

    ``name`` is held-out, ucf101 or msrvtt; ``data`` is the digest of all clips and captions, ``clips`` that
    of the chosen keys in order (:func:`pipelines.evaluate.report.digest_of_keys`). ``prompts`` is the rule
    that gives each clip its caption; ``missing`` counts the clips of the set that cannot be used, by reason.
    """

    name: str
    data: str
    clips: str
    n: int
    frames: int
    height: int
    width: int
    stride: int
    seed: int
    condition: Literal["first"]
    prompts: str
    missing: dict[str, int]


@with_config(_EXACT)
class SystemRecord(TypedDict):
    """What made the clips.

    ``digest`` identifies it: the id of a bundle, or the digest of generated files or of weights.
    ``frozen_parts`` are the digests of an autoencoder and encoders that a bundle does not contain;
    ``chunk`` is the number of clips in one batch, on which the last bits of the network's results may depend.
    ``predicts`` is :attr:`models.architecture.Architecture.denoising_target`, followed by a digest of the
    autoencoder's weights if it has any.
    """

    kind: Literal["bundle", "generated", "baseline"]
    name: str
    digest: str
    bundle: NotRequired[str]
    stage: NotRequired[int]
    preset: NotRequired[str]
    config: NotRequired[str]
    sampling: NotRequired[dict[str, JsonValue]]
    fps_condition: NotRequired[Literal["fps", "stride"]]
    frozen_parts: NotRequired[dict[str, str]]
    chunk: NotRequired[int]
    predicts: NotRequired[str]


@with_config(_EXACT)
class EvaluationReport(TypedDict):
    """Content of ``report.json``.

    ``metrics`` are the figures over all clips, ``clips`` the rows that they come from. ``frozen`` and
    ``black`` are the keys of generated clips that do not move or are black. ``digest`` is the sha256 of the
    canonical JSON of everything else.
    """

    format: Literal[2]
    protocol: ProtocolRecord
    system: SystemRecord
    metrics: dict[str, MetricValue]
    clips: list[ClipRow]
    frozen: list[str]
    black: list[str]
    digest: str


class Identity(TypedDict):
    """Content of ``protocol.json``: what the clips of an evaluation's folder are."""

    protocol: ProtocolRecord
    system: SystemRecord


class StoredClip(TypedDict):
    """A clip of a chunk: all of it except its pixels."""

    key: str
    caption: str
    source: str
    fps: float
    stride: int


class GeneratedChunk(TypedDict):
    """Content of ``chunks/chunk-00000.json``: the clips of a chunk, and the digest of the pixels' file."""

    clips: list[StoredClip]
    sha256: str
    seconds: float


class MeasuredChunk(TypedDict):
    """Content of ``measured/SET/chunk-00000.json``: rows of the report."""

    rows: list[ClipRow]
    seconds: float


class Timings(TypedDict):
    """Content of ``timings.json``: the workers' seconds for all clips together."""

    generate_s: float
    measure_s: float
