"""What a run records in its journal, one event a line; the fields of an event are those of its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.bundle import DatasetSummary, TrainedOn

if TYPE_CHECKING:
    from training.processes.environment import Host


@dataclass(frozen=True)
class Started:
    """The run begins or, after a resume, continues.

    Attributes:
        parameters: tensors of the network; ``trainable`` of them are trained.
        weights: numbers in these tensors; ``trainable_weights`` of them are trained.
        clips: that are trained on, of all datasets.
        base, parent: ids of the bundles that the initial weights came from.
        code: version and commit of the code: see :func:`core.code_version.code_version`.
        data: what ``dataset_digest`` is computed from.
        datasets: what the card of the bundle says of each dataset.
    """

    event: ClassVar[str] = "start"
    config_hash: str
    stage: int
    preset: str
    steps: int
    workers: int
    device: str
    parameters: int
    trainable: int
    weights: int
    trainable_weights: int
    clips: int
    dataset_digest: str
    base: str | None
    parent: str | None
    code: str
    data: Sequence[TrainedOn] = ()
    datasets: Sequence[DatasetSummary] = ()


@dataclass(frozen=True)
class EnvironmentFound:
    """What the processes run on: see :class:`training.processes.environment.Environment`.

    Attributes:
        packages: number of them; ``environment.json`` of the run folder lists them.
        hosts: machines, each with its processes and their GPUs.
    """

    event: ClassVar[str] = "environment"
    python: str
    platform: str
    cuda: str | None
    lock: str
    packages: int
    hosts: Sequence[Host]


@dataclass(frozen=True)
class Metrics:
    """Figures of the steps since the last such event, by name."""

    event: ClassVar[str] = "metrics"
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Profiled:
    """The traces of all processes of these steps, as 10 or 10-12; ``path``: folder within the run folder."""

    event: ClassVar[str] = "profile"
    steps: str
    path: str


@dataclass(frozen=True)
class LossMeasured:
    """The denoising loss at fixed timesteps and noise: its mean, and that of each quantile of timesteps.

    Attributes:
        clips: that the loss is the mean of.
        held_out: whether they are of ``validation.data``; False: of the data that is trained on.
        seconds: that measuring took, in which training waited.
    """

    event: ClassVar[str] = "validation"
    metrics: Mapping[str, float]
    clips: int
    held_out: bool
    seconds: float


@dataclass(frozen=True)
class SampleDrawn:
    """A validation sample; ``path`` is relative to the run folder."""

    event: ClassVar[str] = "sample"
    path: str
    prompt: str


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is complete.

    Attributes:
        seconds: from the end of its step until it was complete.
        pause_s: seconds of these in which training waited; None in journals of earlier versions.
    """

    event: ClassVar[str] = "checkpoint"
    uri: str
    digest: str
    seconds: float
    pause_s: float | None = None


@dataclass(frozen=True)
class CheckpointUploaded:
    """A checkpoint is complete at ``uri`` too; ``seconds``: that its upload took."""

    event: ClassVar[str] = "upload"
    uri: str
    digest: str
    seconds: float


@dataclass(frozen=True)
class Resumed:
    """The run continues from this checkpoint; later steps are repeated.

    Attributes:
        change: who wrote it and who continues it, where these differ.
    """

    event: ClassVar[str] = "resume"
    uri: str
    digest: str
    change: str | None = None


@dataclass(frozen=True)
class Warned:
    """Something went wrong that does not end the run."""

    event: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class HangEnded:
    """The processes of the attempt before were ended because none of them progressed any more.

    Attributes:
        ranks: of the processes that the others waited for.
        during: step that hung.
    """

    event: ClassVar[str] = "hang"
    message: str
    ranks: Sequence[int]
    during: int


@dataclass(frozen=True)
class StepSkipped:
    """A step was skipped for its loss or its gradients.

    Attributes:
        keys: of the first process's samples.
        loss: mean of the global batch.
        limit: the largest loss with which it would have been applied; None for no limit.
        worst, worst_loss: key and loss of the sample with the largest loss of all processes.
        dumps: the files about it, of all processes, as a pattern relative to the run folder.
    """

    event: ClassVar[str] = "warning"
    keys: Sequence[str]
    message: str = "step skipped: gradients not finite"
    loss: float | None = None
    limit: float | None = None
    worst: str | None = None
    worst_loss: float | None = None
    dumps: str | None = None


@dataclass(frozen=True)
class RolledBack:
    """Too many steps in a row were skipped: the run goes on from an earlier checkpoint, with other data.

    Attributes:
        from_step: the last step before; those after the checkpoint are discarded.
        data_round: of the data from here on.
    """

    event: ClassVar[str] = "rollback"
    from_step: int
    data_round: int


@dataclass(frozen=True)
class BundleWritten:
    """The run's product exists."""

    event: ClassVar[str] = "bundle"
    path: str
    id: str


@dataclass(frozen=True)
class Stopped:
    """A signal ended the run before its last step; it can be resumed.

    Attributes:
        signal: its number; None where a notice that machines are about to be withdrawn took its place.
        warning: whether it announced the end of the processors, so that the run is to be started again.
    """

    event: ClassVar[str] = "stop"
    signal: int | None
    warning: bool = False


@dataclass(frozen=True)
class Ended:
    """The run is finished."""

    event: ClassVar[str] = "end"
