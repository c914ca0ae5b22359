"""Ingest a table of videos into a dataset, or retry its rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.config.layers import merged, user_layers
from core.config.validation import configure, validate
from core.errors import AnimaticError
from orchestration.monitoring import IngestJob, IngestObserver, MonitoringOptions, observe_ingest
from orchestration.workspace import Workspace
from pipelines.fetch import FetchPolicy
from pipelines.ingest import IngestConfig, IngestReport, Preview, preview
from pipelines.ingest import ingest as run_ingest
from pipelines.ingest import retry as run_retry
from training.config import resolve


@dataclass(frozen=True)
class IngestOptions:
    """``output``: the workspace's own dataset if None; ``preset``: size the clips for it; the others are
    settings of :class:`pipelines.ingest.IngestConfig`, its defaults if None, and ``values`` more of them by
    name. ``sets`` win over all."""

    source: str
    output: str | None = None
    videos: str | None = None
    where: str | None = None
    layout: str | None = None
    preset: str | None = None
    seed: int | None = None
    workers: int | None = None
    address: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    replace: bool = False


@dataclass(frozen=True)
class IngestRequest:
    """A validated configuration; ``replace``: rebuild units that a changed table or setting affects."""

    config: IngestConfig
    replace: bool


@dataclass(frozen=True)
class RetryOptions:
    """``dataset``: the newest if None; ``reasons``: the rejections to retry; the others are settings that do
    not decide the dataset's bytes."""

    reasons: tuple[str, ...]
    dataset: str | None = None
    videos: str | None = None
    workers: int | None = None
    address: str | None = None
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetryRequest:
    """The dataset, the rejections to retry, and the settings to use instead of the recorded ones."""

    dataset: str
    reasons: tuple[str, ...]
    settings: Mapping[str, object]


@dataclass(frozen=True)
class IngestResult:
    """The dataset (folder or URL) and what it contains now."""

    dataset: str
    report: IngestReport


def prepare_ingest(options: IngestOptions, workspace: Workspace) -> IngestRequest:
    """Resolve the configuration.

    Raises:
        AnimaticError: an unknown preset or key, or a value that does not fit.
    """
    values: dict[str, object] = dict(_sizes(options.preset)) if options.preset else {}
    given = {
        "source": options.source,
        "output": options.output or str(workspace.data),
        "videos": options.videos,
        "where": options.where,
        "layout": options.layout,
        "seed": options.seed,
        "workers": options.workers,
        "address": options.address,
    }
    values |= {name: value for name, value in given.items() if value is not None}
    values |= options.values
    return IngestRequest(configure(IngestConfig, values=values, sets=options.sets), options.replace)


def ingest(
    request: IngestRequest,
    workspace: Workspace,
    monitoring: MonitoringOptions,
    on_progress: IngestObserver,
    on_message: Callable[[str], None],
) -> IngestResult:
    """Create the dataset, or what is missing of it; an interrupted job continues where it stopped.

    Raises:
        AnimaticError: the source cannot be read, the output was ingested with different settings, or a unit
            failed.
    """
    config = request.config
    job = IngestJob("ingest", config.output, config.model_dump(mode="json"))
    with observe_ingest(job, monitoring, workspace, on_progress, on_message) as notify:
        report = run_ingest(config, notify, replace=request.replace, on_warning=on_message)
    return IngestResult(config.output, report)


def preview_ingest(request: IngestRequest, probes: bool, on_rows: Callable[[int, int], None]) -> Preview:
    """What the ingest would do; nothing is changed. ``probes``: read the first bytes of the videos of the
    displayed rows.

    Raises:
        AnimaticError: the source cannot be read, or the output contains something else.
    """
    return preview(request.config, probes=probes, on_rows=on_rows)


def prepare_retry(options: RetryOptions, workspace: Workspace) -> RetryRequest:
    """Find the dataset and collect the settings.

    Raises:
        AnimaticError: no reason is given, there is no dataset, or an assignment is malformed.
    """
    dataset = workspace.dataset(options.dataset)
    if not options.reasons:
        raise AnimaticError("name the rejections to retry, as in --class fetch_timeout")
    given = {"videos": options.videos, "workers": options.workers, "address": options.address}
    given = {name: value for name, value in given.items() if value is not None}
    return RetryRequest(dataset, options.reasons, {**retry_settings(options.sets), **given})


def retry_settings(sets: Sequence[str]) -> dict[str, object]:
    """The settings of a retry by their names.

    Raises:
        AnimaticError: a malformed assignment, or one of ``fetch`` that does not fit: it may be a secret,
            which is refused before anything is recorded.
    """
    settings = merged(user_layers(sets=sets))
    if "fetch" in settings:
        configure(IngestConfig, values={"source": "", "output": ""}, sets=_of_fetch(sets))
    return settings


def _of_fetch(sets: Sequence[str]) -> list[str]:
    return [assignment for assignment in sets if assignment.strip().startswith("fetch")]


def retry(
    request: RetryRequest,
    workspace: Workspace,
    monitoring: MonitoringOptions,
    on_progress: IngestObserver,
    on_message: Callable[[str], None],
) -> IngestResult:
    """Give rejected rows another try; all other samples stay as they are.

    Raises:
        AnimaticError: there is no such dataset, rejection or setting, or a unit failed.
    """
    settings: dict[str, object] = {"class": list(request.reasons), **request.settings}
    fetch = settings.get("fetch")
    if isinstance(fetch, Mapping):  # as it is recorded: without the values of headers
        settings["fetch"] = validate(FetchPolicy, fetch).model_dump(mode="json", exclude_unset=True)
    job = IngestJob("retry", request.dataset, settings)
    with observe_ingest(job, monitoring, workspace, on_progress, on_message) as notify:
        report = run_retry(request.dataset, request.reasons, notify, **request.settings)
    return IngestResult(request.dataset, report)


def _sizes(preset: str) -> dict[str, int]:
    """Clips just large and long enough for a preset: pixels of the shorter side, frames."""
    config = resolve(3, preset)
    model, stride = config.model, config.data.sampling.stride
    return {"short_side": min(model.height, model.width), "min_frames": (model.frames - 1) * stride[0] + 1}
