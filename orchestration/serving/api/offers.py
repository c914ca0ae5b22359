"""What a model offers to clients: its limits within the operator's, and the defaults that apply."""

from __future__ import annotations

from orchestration.serving.api.answers import unix
from orchestration.serving.api.overview import Overview
from orchestration.serving.api.sampling import default_sampling, offered_solvers
from orchestration.serving.jobs import ServedVersion
from orchestration.serving.schema import (
    MadeByBundle,
    ModelInfo,
    ModelLimits,
    ModelList,
    SamplingDefaults,
    ServiceLimits,
)
from orchestration.serving.settings import DefaultSettings, LimitSettings, ServingSettings

PLAYBACK_FPS = 8.0
PICTURE_TYPES = ["image/png", "image/jpeg", "image/webp"]


def offer(version: ServedVersion, limits: LimitSettings) -> ModelLimits:
    """What clients may ask of a model."""
    still, points = version.frames == 1, version.student and version.student.points
    return ModelLimits(
        sizes=[f"{version.width}x{version.height}"],
        min_frames=1,
        max_frames=1 if still else limits.frames,
        max_steps=min(limits.steps, points or limits.steps),
        solvers=offered_solvers(version),
        min_motion=None if version.motion is None else version.motion[0],
        max_motion=None if version.motion is None else version.motion[1],
        modes=list(version.modes),
    )


def defaults(version: ServedVersion, operator: DefaultSettings) -> SamplingDefaults:
    """What a request gets that sets nothing."""
    sampling = default_sampling(operator, version)
    return SamplingDefaults(
        size=f"{version.width}x{version.height}",
        num_frames=operator.frames or version.frames,
        fps=operator.playback or PLAYBACK_FPS,
        num_inference_steps=sampling.steps,
        guidance_scale=sampling.text_guidance,
        image_guidance_scale=sampling.image_guidance,
        eta=sampling.eta,
        solver=sampling.solver,
        guidance_interval=sampling.guidance_interval,
        guidance_every=sampling.guidance_every,
        cache_every=sampling.cache_every,
        conditioning_fps=sampling.fps,
        motion=sampling.motion,
    )


def listed(state: Overview, settings: ServingSettings, *, key_required: bool) -> ModelList:
    """All models with their limits and defaults, and the limits of every request."""
    limits = settings.limits
    return ModelList(
        data=[
            ModelInfo(
                id=name,
                created=unix(version.since),
                ready=state.is_live(name),
                bundle=MadeByBundle(
                    id=version.bundle_id,
                    manifest=version.manifest,
                    preset=version.preset,
                    stage=version.stage,
                    alias=version.alias,
                ),
                limits=offer(version, limits),
                defaults=defaults(version, settings.defaults),
            )
            for name, version in state.served().items()
        ],
        limits=ServiceLimits(
            body_bytes=limits.body_bytes,
            pixels=limits.pixels,
            prompt_chars=limits.prompt_chars,
            queue=limits.queue,
            keep_hours=settings.state.keep_hours,
            picture_types=PICTURE_TYPES,
            key_required=key_required,
        ),
    )
