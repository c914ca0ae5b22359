"""Measure a system on held-out clips: a bundle, clips made elsewhere, or a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core.config.validation import configure
from core.errors import AnimaticError
from models.bundle import Bundle
from models.diffusion.settings import SamplingSettings
from orchestration.devices import actor_settings
from orchestration.registry import check_complete
from orchestration.workflows.evaluate_system import (
    PUBLIC_DEFAULTS,
    ChosenSystem,
    SystemOptions,
    choose_system,
)
from orchestration.workflows.evaluation_page import write_own_page
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace
from pipelines import evaluate as evaluation
from pipelines.evaluate import (
    EvaluateConfig,
    EvaluationPlan,
    EvaluationReport,
    check_metrics,
    evaluate_together,
    generate_clips,
    measure_clips,
    plan_evaluation,
    prepare_public_data,
)
from training.config import presets, resolve

_LAST_STAGE = 3


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure, and on what.

    ``data``: a held-out dataset, or a folder of NAME.mp4 with NAME.txt; ``bundle``: a folder or an id, the
    champion if None; ``folder``: if None, one named by bundle and protocol in ``parent_folder``, which is
    ``runs/evaluations`` if None; ``clips``: all if None; ``seed`` of the choice of clips and the noise;
    ``stride``: distance between the real clips' frames, the configuration's if None; ``metrics``: names, all
    whose needs are met if None; ``extractors``: PATH or PATH@SHA256 by name; ``workers``: Ray actors, one for
    each GPU or core if None; ``gpus``: as many actors with one each; ``codec`` and ``encoders``: files for a
    bundle that contains none; ``base``: folder of an adapter's base, found if None; ``system``: what
    generates in place of the bundle, and on which public dataset; ``values``: more settings of
    :class:`pipelines.evaluate.EvaluateConfig`, by name.
    """

    data: str
    bundle: str | None = None
    folder: Path | None = None
    parent_folder: Path | None = None
    clips: int | None = None
    steps: int | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0
    stride: int | None = None
    metrics: tuple[str, ...] | None = None
    extractors: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None
    codec: str | None = None
    encoders: str | None = None
    base: Path | None = None
    system: SystemOptions = field(default_factory=SystemOptions)
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateRequest:
    """What generates, opened, and the resolved configuration.

    ``options``: which part of a public dataset ``config.data`` is, until :func:`prepare_data`;
    ``own_folder``: the evaluation gets a folder of its own below ``config.output``.
    """

    system: ChosenSystem
    config: EvaluateConfig
    options: SystemOptions
    own_folder: bool


@dataclass(frozen=True)
class PicturesResult:
    """A folder with pictures and ``prompts.csv``, and the number of pictures."""

    folder: Path
    exported: int


def prepare_evaluation(options: EvaluateOptions, workspace: Workspace) -> EvaluateRequest:
    """Open the bundle, or what generates in its place, and resolve the configuration.

    Raises:
        AnimaticError: no such bundle, one that fails verification, options that contradict each other, or a
            value that does not fit.
    """
    system = choose_system(options.system, options.bundle, options.steps, workspace)
    if system.bundle is None and options.sampling != SamplingOptions():
        raise AnimaticError(
            "no bundle generates: leave out --solver, --guidance-interval, --guidance-every and --cache-every"
        )
    if options.base is not None:
        if system.bundle is None:
            raise AnimaticError("--base is an adapter's, and no bundle generates: leave it out")
        system = replace(system, bundle=system.bundle.with_base(options.base))
    if system.bundle is not None:
        check_complete(system.bundle, options.codec, options.encoders)
    own = {"clips": options.clips, "stride": options.stride}
    values = {
        "data": options.data,
        "output": options.folder or options.parent_folder or workspace.root / "evaluations",
        "codec": options.codec,
        "encoders": options.encoders,
        "seed": options.seed,
        "protocol": options.system.protocol,
        "metrics": options.metrics,
        "extractors": dict(options.extractors),
        **({} if options.system.protocol == "held-out" else PUBLIC_DEFAULTS),
        **{name: value for name, value in own.items() if value is not None},
        **({} if system.bundle is None else _of_bundle(system.bundle, options)),
        **actor_settings(options.workers, options.gpus, options.address),
        **options.values,
    }
    config = configure(EvaluateConfig, values=values)
    return EvaluateRequest(system, config, options.system, own_folder=options.folder is None)


def prepare_data(
    request: EvaluateRequest,
    workspace: Workspace,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluateRequest:
    """Normalise the videos of a public dataset into ``runs/protocols``: the request on what results.

    Nothing is done for other data. ``on_progress`` gets (videos done, videos).

    Raises:
        AnimaticError: the dataset is not in its users' layout, no video is usable, or a metric lacks its
            extractor.
    """
    if request.config.protocol == "held-out":
        return request
    config = request.config
    # It is known before hours of decoding.
    check_metrics(config, request.system.bundle is not None)
    folder = prepare_public_data(
        request.options.public_data(config.data),
        workspace.root / "protocols",
        workers=config.workers,
        address=config.address,
        on_progress=on_progress,
    )
    return replace(request, config=config.model_copy(update={"data": str(folder)}))


def export_pictures(
    request: EvaluateRequest, folder: Path, on_progress: Callable[[int, int], None]
) -> PicturesResult:
    """Write the pictures and prompts of the clips; ``on_progress`` gets (pictures done, pictures).

    Raises:
        AnimaticError: the folder exists, the clips cannot be read, or there are too few.
    """
    shape = request.system.compared_at(request.config.stride)
    return PicturesResult(folder, evaluation.export_pictures(request.config, shape, folder, on_progress))


def plan(
    request: EvaluateRequest, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> EvaluationPlan:
    """Choose the clips and the folder; nothing is decoded or written.

    ``on_progress`` gets (megabytes read, megabytes) of what is identified by content: codec and encoders,
    generated clips, weights.

    Raises:
        AnimaticError: the clips cannot be read, there are too few, or the system cannot make them.
    """
    planned = plan_evaluation(request.system.describe(request.config, on_progress), request.config)
    return planned.in_own_folder() if request.own_folder else planned


def generate(planned: EvaluationPlan, on_progress: Callable[[int, int], None]) -> None:
    """Animate the clips' first frames; ``on_progress`` gets (clips done, clips).

    Raises:
        AnimaticError: a clip cannot be decoded, the folder contains another evaluation, or the network
            generates pixels that are not finite.
    """
    generate_clips(planned, on_progress)


def measure(
    planned: EvaluationPlan, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> EvaluationReport:
    """Measure the generated clips, write the report and its page; ``on_progress`` gets (clips done, clips).

    Raises:
        AnimaticError: a stored chunk is damaged, or a figure is not finite.
    """
    report = measure_clips(planned, on_progress)
    write_own_page(report, planned.config.output)
    return report


def evaluate(planned: EvaluationPlan, on_progress: Callable[[int, int], None]) -> EvaluationReport:
    """Generate, with progress, and measure."""
    generate(planned, on_progress)
    return measure(planned)


def evaluate_all(
    planned: Sequence[EvaluationPlan], on_progress: Callable[[int, int], None]
) -> list[EvaluationReport]:
    """Generate and measure several evaluations in one job, write their reports and pages.

    ``on_progress`` gets (clips done, clips) over all of them.

    Raises:
        AnimaticError: as :func:`generate` and :func:`measure`, or the evaluations are to run on different
            actors.
    """
    reports = evaluate_together(planned, on_progress)
    for each, report in zip(planned, reports, strict=True):
        write_own_page(report, each.config.output)
    return reports


def _of_bundle(bundle: Bundle, options: EvaluateOptions) -> dict[str, object]:
    return {"sampling": _sampling(bundle, options), "fps_condition": fps_condition(bundle.info.preset)}


def _sampling(bundle: Bundle, options: EvaluateOptions) -> SamplingSettings:
    """The bundle's settings with the rate of each real clip in place of the one that suits its animations:
    distances travelled compare only between clips of one rate."""
    settings = sampling_settings(bundle, replace(options.sampling, steps=options.steps))
    return settings.model_copy(update={"fps": None})


def fps_condition(preset: str) -> Literal["fps", "stride"]:
    """What the networks of a preset receive as their rate."""
    if preset not in presets():
        return "fps"
    return resolve(_LAST_STAGE, preset).data.sampling.fps_condition
