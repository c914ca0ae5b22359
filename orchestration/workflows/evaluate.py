"""Measure a bundle on held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.config.validation import configure
from models.bundle import Bundle
from models.diffusion.settings import SamplingSettings
from orchestration.devices import actor_settings
from orchestration.registry import check_complete, select_bundle
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace
from pipelines.evaluate import (
    EvaluateConfig,
    EvaluationPlan,
    EvaluationReport,
    bundle_system,
    generate_clips,
    measure_clips,
    plan_evaluation,
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
    whose needs are met if None; ``workers``: Ray actors, one for each GPU or core if None; ``gpus``: as many
    actors with one each; ``codec`` and ``encoders``: files for a bundle that contains none; ``values``: more
    settings of :class:`pipelines.evaluate.EvaluateConfig`, by name.
    """

    data: str
    bundle: str | None = None
    folder: Path | None = None
    parent_folder: Path | None = None
    clips: int | None = None
    steps: int | None = None
    seed: int = 0
    stride: int | None = None
    metrics: tuple[str, ...] | None = None
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None
    codec: str | None = None
    encoders: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateRequest:
    """The opened bundle and the resolved configuration.

    ``own_folder``: the evaluation gets a folder of its own below ``config.output``.
    """

    bundle: Bundle
    config: EvaluateConfig
    own_folder: bool


def prepare_evaluation(options: EvaluateOptions, workspace: Workspace) -> EvaluateRequest:
    """Open the bundle and resolve the configuration.

    Raises:
        AnimaticError: no such bundle, one that fails verification, or a value that does not fit.
    """
    bundle = select_bundle(workspace.ledger, options.bundle)
    check_complete(bundle, options.codec, options.encoders)
    values = {
        "data": options.data,
        "output": options.folder or options.parent_folder or workspace.root / "evaluations",
        "codec": options.codec,
        "encoders": options.encoders,
        "clips": options.clips,
        "seed": options.seed,
        "sampling": _sampling(bundle, options.steps),
        "fps_condition": _fps_condition(bundle.info.preset),
        "metrics": options.metrics,
        **({} if options.stride is None else {"stride": options.stride}),
        **actor_settings(options.workers, options.gpus, options.address),
        **options.values,
    }
    config = configure(EvaluateConfig, values=values)
    return EvaluateRequest(bundle, config, own_folder=options.folder is None)


def plan(
    request: EvaluateRequest, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> EvaluationPlan:
    """Choose the clips and the folder; nothing is decoded or written.

    ``on_progress`` gets (megabytes read, megabytes) of the codec and encoders that were named.

    Raises:
        AnimaticError: the clips cannot be read, there are too few, or the bundle cannot animate.
    """
    planned = plan_evaluation(bundle_system(request.bundle, request.config, on_progress), request.config)
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
    """Measure the generated clips and write the report; ``on_progress`` gets (clips done, clips).

    Raises:
        AnimaticError: a stored chunk is damaged, or a figure is not finite.
    """
    return measure_clips(planned, on_progress)


def evaluate(planned: EvaluationPlan, on_progress: Callable[[int, int], None]) -> EvaluationReport:
    """Generate, with progress, and measure."""
    generate(planned, on_progress)
    return measure(planned)


def _sampling(bundle: Bundle, steps: int | None) -> SamplingSettings:
    """The bundle's settings with the rate of each real clip in place of the one that suits its animations:
    distances travelled compare only between clips of one rate."""
    settings = sampling_settings(bundle, SamplingOptions(steps=steps))
    return settings.model_copy(update={"fps": None})


def _fps_condition(preset: str) -> Literal["fps", "stride"]:
    """What the networks of a preset receive as their rate."""
    if preset not in presets():
        return "fps"
    return resolve(_LAST_STAGE, preset).data.sampling.fps_condition
