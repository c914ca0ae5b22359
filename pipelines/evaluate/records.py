"""What an evaluation stores: ``protocol.json``, ``chunks/chunk-00000.json`` and ``report.json``.

They are JSON objects, so they are typed as such: the report is read by people and by other tools.
"""

from typing import Literal, NotRequired

from pydantic import JsonValue

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

from pipelines.evaluate.metrics import Direction


class EvaluationProtocol(TypedDict):
    """Everything that the figures depend on; two evaluations compare only if theirs agree.

    ``bundle`` and ``data`` are digests, ``n`` is the number of clips, ``chunk`` how many form one batch,
    ``detector`` names the motion detector, and ``sampling`` is a
    :class:`models.diffusion.settings.SamplingSettings` without its seed. ``frozen_parts`` are the digests of
    an autoencoder and encoders that the bundle does not contain.
    """

    bundle: str
    stage: int
    preset: str
    data: str
    n: int
    frames: int
    height: int
    width: int
    stride: int
    fps_condition: Literal["fps", "stride"]
    seed: int
    chunk: int
    detector: str
    sampling: dict[str, JsonValue]
    frozen_parts: NotRequired[dict[str, str]]


class ClipResult(TypedDict):
    """Measurements of one generated clip and of the real one.

    ``fps`` is the real clip's rate (or stride), ``psnr_first_frame`` is in dB, ``expected`` is the direction
    that the caption names. ``generated`` and ``real`` are the directions of motion, None for a clip that does
    not move; the travels are in frame sides.
    """

    key: str
    caption: str
    fps: float
    psnr_first_frame: float
    expected: Direction | None
    generated: Direction | None
    real: Direction | None
    generated_travel: float
    real_travel: float


class ChunkResult(TypedDict):
    """Results of the clips of one chunk, and the seconds that they took."""

    rows: list[ClipResult]
    seconds: float


class Mean(TypedDict):
    """A mean over ``n`` clips with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class Accuracy(TypedDict):
    """The share of ``n`` clips that move as their caption says, with its 95 % interval.

    ``still`` counts the clips that do not move, ``chance`` is the accuracy of guessing.
    """

    accuracy: float
    low: float
    high: float
    n: int
    correct: int
    still: int
    chance: float


class Travel(TypedDict):
    """How far clips move, in frame sides."""

    generated: Mean
    real: Mean


class Results(TypedDict):
    """Figures over all clips; see :func:`pipelines.evaluate.report.build_report`."""

    psnr_first_frame: Mean
    direction: Accuracy | None
    detector_on_real: Accuracy | None
    travel: Travel


class EvaluationReport(TypedDict):
    """Content of ``report.json``; ``seconds`` is the workers' time for all clips together."""

    format: int
    protocol: EvaluationProtocol
    results: Results
    clips: list[ClipResult]
    seconds: float
