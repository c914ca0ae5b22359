"""Options of a verb → the request of a job that does the same on a cluster.

Local paths become absolute: every node of the cluster must see them there. What depends on the machine, as
the preset, depends on the cluster's nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.errors import AnimaticError
from core.urls import absolute, is_url
from orchestration.devices import preset_for
from orchestration.launch.jobs import JobRequest, Resources
from orchestration.monitoring import MonitoringOptions
from orchestration.registry import CHALLENGER, CHAMPION, PREVIOUS
from orchestration.workflows.absolute_paths import absolute_tracker, with_absolute_paths
from orchestration.workflows.caption import CaptionOptions
from orchestration.workflows.command_words import assignments, command_options
from orchestration.workflows.datasets import DatasetOptions
from orchestration.workflows.encode import EncodeOptions
from orchestration.workflows.evaluate import EvaluateOptions
from orchestration.workflows.ingest import IngestOptions, RetryOptions, prepare_ingest, retry_settings
from orchestration.workflows.score import ScoreOptions
from orchestration.workflows.similar import SimilarOptions
from orchestration.workflows.train_request import TrainOptions
from orchestration.workspace import Workspace
from training.config import config_hash, resolve

_LAST_STAGE = 3
# Settings of how a run is executed and measured, not of what it produces.
_PROCESSES = ("launch.", "observe.")


def train_job(
    options: TrainOptions,
    workspace: Workspace,
    cluster: Resources,
    metrics_port: int | None = None,
    *,
    dry_run: bool = False,
) -> JobRequest:
    """Train one stage, or make the one step of a dry run, with the configuration as resolved here; data and
    parent may be left to the job.

    Raises:
        AnimaticError: an unknown preset or key, or a value that does not fit.
    """
    gpus = cluster.gpus if options.gpus is None else options.gpus
    preset = options.preset or preset_for(gpus)
    named = {"data.dataset": options.data, "observe.profile": options.profile}
    values = {**options.values, **{name: value for name, value in named.items() if value is not None}}
    config = with_absolute_paths(resolve(options.stage, preset, options.sets, options.files, values))
    if config.launch.address is not None:
        raise AnimaticError("launch.address is without effect with --address, which submits the run as a job")
    changes = assignments(config, resolve(options.stage, preset))
    return JobRequest(
        verb="train",
        subject=f"stage {options.stage}, preset {preset}",
        options=command_options(
            stage=options.stage,
            preset=preset,
            out=_path(options.run_dir),
            dry_run=dry_run,
            set=[each for each in changes if not each.startswith(_PROCESSES)],
        ),
        processes=command_options(
            gpus=gpus,
            metrics_port=metrics_port,
            set=[each for each in changes if each.startswith(_PROCESSES)],
        ),
        runs=_runs(workspace),
        config_hash=config_hash(config),
    )


def ingest_job(options: IngestOptions, monitoring: MonitoringOptions, workspace: Workspace) -> JobRequest:
    """Ingest a table. Raises AnimaticError for an unknown preset or key, or a value that does not fit."""
    prepare_ingest(options, workspace)
    return JobRequest(
        verb="ingest",
        subject=_short(options.source),
        options=command_options(
            videos=_location(options.videos),
            out=_location(options.output),
            where=options.where,
            layout=options.layout,
            replace=options.replace,
            preset=options.preset,
            seed=options.seed,
            set=options.sets,
            **_tracked(monitoring),
        ),
        processes=command_options(workers=options.workers, metrics_port=monitoring.metrics_port),
        arguments=(absolute(options.source),),
        runs=_runs(workspace),
    )


def retry_job(options: RetryOptions, monitoring: MonitoringOptions, workspace: Workspace) -> JobRequest:
    """Retry rejected rows. Raises AnimaticError where no rejection is named."""
    if not options.reasons:
        raise AnimaticError("name the rejections to retry, as in --class fetch_timeout")
    retry_settings(options.sets)
    return JobRequest(
        verb="retry",
        subject=_short(options.dataset or "the newest dataset"),
        options=command_options(
            **{"class": options.reasons},
            videos=_location(options.videos),
            set=options.sets,
            **_tracked(monitoring),
        ),
        processes=command_options(workers=options.workers, metrics_port=monitoring.metrics_port),
        arguments=() if options.dataset is None else (absolute(options.dataset),),
        runs=_runs(workspace),
    )


def encode_job(options: EncodeOptions, workspace: Workspace, cluster: Resources) -> JobRequest:
    """Store latents. Raises AnimaticError for options that contradict each other, or an unfit value."""
    preset, sets = options.preset, options.sets
    if options.bundle is None:
        preset = preset or preset_for(cluster.gpus if options.gpus is None else options.gpus)
        config = with_absolute_paths(resolve(_LAST_STAGE, preset, sets))
        sets = tuple(assignments(config, resolve(_LAST_STAGE, preset)))
    elif preset is not None or sets:
        raise AnimaticError("--bundle decides size and codec: leave out --preset and --set")
    return JobRequest(
        verb="encode",
        subject=_short(options.dataset),
        options=command_options(
            to=absolute(options.output),
            preset=preset,
            bundle=_bundle(options.bundle),
            set=sets,
            stills=options.stills,
            text=options.text,
            precision=options.precision,
        ),
        processes=command_options(workers=options.workers, gpus=options.gpus),
        arguments=(absolute(options.dataset),),
        runs=_runs(workspace),
    )


def score_job(options: ScoreOptions, workspace: Workspace) -> JobRequest:
    """Score the samples of a dataset."""
    return JobRequest(
        verb="score",
        subject=_short(options.dataset),
        options=command_options(
            metrics=",".join(options.metrics),
            weights=_path(options.weights),
            model=options.model,
            head=_path(options.head),
            detector=_path(options.detector),
            frames=options.frames,
            batch=options.batch,
        ),
        processes=command_options(workers=options.workers, gpus=options.gpus),
        arguments=(absolute(options.dataset),),
        runs=_runs(workspace),
    )


def similar_job(options: SimilarOptions, workspace: Workspace) -> JobRequest:
    """Find the near-duplicates of a dataset."""
    return JobRequest(
        verb="similar",
        subject=_short(options.dataset),
        options=command_options(
            weights=_path(options.weights),
            model=options.model,
            threshold=options.threshold,
            frames=options.frames,
            batch=options.batch,
        ),
        processes=command_options(workers=options.workers, gpus=options.gpus),
        arguments=(absolute(options.dataset),),
        runs=_runs(workspace),
    )


def dataset_job(options: DatasetOptions, workspace: Workspace, cluster: Resources) -> JobRequest:
    """Make datasets of others, on as many of the cluster's CPUs as it has, or ``workers``."""
    first, *others = options.paths
    others = others if options.action == "split" else [absolute(path) for path in others]  # or parts
    return JobRequest(
        verb="dataset",
        subject=f"{options.action} {_short(first)}",
        options=command_options(
            into=options.into,
            by=options.by if options.action == "split" else None,
            out=_location(options.output),
            where=options.where,
            keys=_path(options.keys),
            min=options.minimum,
            max=options.maximum,
            count=options.count,
            seed=options.seed or None,
            rename=options.rename,
            shard_rows=options.shard_rows,
            shard_mb=options.shard_mb,
        ),
        processes=command_options(workers=cluster.cpus if options.workers is None else options.workers),
        arguments=(options.action, absolute(first), *others),
        runs=_runs(workspace),
    )


def caption_job(options: CaptionOptions, workspace: Workspace) -> JobRequest:
    """Caption the clips of a dataset."""
    places = ("dataset", "model", "workers", "gpus", "address")
    return JobRequest(
        verb="caption",
        subject=_short(options.dataset),
        options=command_options(
            model=_path(options.model),
            **{name: value for name, value in vars(options).items() if name not in places},
        ),
        processes=command_options(workers=options.workers, gpus=options.gpus),
        arguments=(absolute(options.dataset),),
        runs=_runs(workspace),
    )


def evaluate_job(options: EvaluateOptions, workspace: Workspace) -> JobRequest:
    """Measure a system: the one named, or the champion of the ledger that the cluster sees."""
    system = options.system
    system.check(options.steps)
    return JobRequest(
        verb="evaluate",
        subject=_short(options.data),
        options=command_options(
            out=_path(options.folder),
            bundle=_bundle(options.bundle),
            newest=system.newest,
            preset=system.preset,
            clips=options.clips,
            steps=options.steps,
            **options.sampling.given(),
            seed=options.seed,
            stride=options.stride,
            metrics=None if options.metrics is None else ",".join(options.metrics),
            extractor=[f"{name}={absolute(path)}" for name, path in options.extractors.items()],
            codec=_location(options.codec),
            encoders=_location(options.encoders),
            base=_path(options.base),
            protocol=None if system.protocol == "held-out" else system.protocol,
            split=system.split,
            captions=system.captions,
            generated=_path(system.generated),
            baseline=system.baseline,
            weights=_path(system.weights),
            size=system.size,
        ),
        processes=command_options(workers=options.workers, gpus=options.gpus),
        arguments=(absolute(options.data),),
        runs=_runs(workspace),
    )


def doctor_job(data: str | None, workspace: Workspace) -> JobRequest:
    """Examine every node of the cluster, from its head."""
    return JobRequest(
        verb="doctor",
        subject="the cluster's nodes",
        options=command_options(data=_location(data)),
        runs=_runs(workspace),
    )


def _tracked(monitoring: MonitoringOptions) -> Mapping[str, object]:
    return {"no_track": not monitoring.track, "mlflow_uri": absolute_tracker(monitoring.mlflow_uri)}


def _location(text: str | None) -> str | None:
    return None if text is None else absolute(text)


def _path(path: Path | None) -> str | None:
    return None if path is None else absolute(str(path))


def _bundle(name: str | None) -> str | None:
    """A bundle's folder as an absolute path; an id or an alias as it is."""
    if name is None or name in (CHAMPION, CHALLENGER, PREVIOUS):
        return name
    return absolute(name) if "/" in name or Path(name).exists() else name


def _runs(workspace: Workspace) -> str:
    return absolute(str(workspace.root))


def _short(location: str) -> str:
    """The end of a location, for a table."""
    return location if is_url(location) else Path(location).name or location
