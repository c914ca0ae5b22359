"""From a request to a job: the model that it is for, its limits, and whose settings win."""

from __future__ import annotations

import secrets

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from models.modes import MIN_FRAMES, Mode
from orchestration.serving.api.answers import VIDEOS
from orchestration.serving.api.interface import Caller, Received
from orchestration.serving.api.offers import PLAYBACK_FPS, offer
from orchestration.serving.api.overview import SHORTEST_ID, overview
from orchestration.serving.api.sampling import check_sampling, chosen, sampling_choice
from orchestration.serving.api.service import Service
from orchestration.serving.counters import ACCEPTED
from orchestration.serving.jobs import (
    IdempotencyConflictError,
    JobSpec,
    RetryLaterError,
    SamplingChoice,
    ServedVersion,
    StoredPicture,
    Submission,
)
from orchestration.serving.schema import ApiError, ModelLimits, VideoRequest
from orchestration.serving.settings import DefaultSettings, LimitSettings

# Random seeds have up to this many bits, so that they are easy to write down.
_SEED_BITS = 31
_RETRY_S = 5.0


def is_submission(scope: Scope) -> bool:
    """Whether a request is one for a video, whose body :func:`submit` reads."""
    return scope["method"] == "POST" and scope["path"] in (VIDEOS, f"{VIDEOS}/sync")


async def submit(
    service: Service, caller: Caller, request: Request, idempotency_key: str | None
) -> Submission:
    """Read a request and put its job in the queue.

    Raises:
        ApiError: something of the request cannot be used.
        QueueFullError, RateLimitedError, IdempotencyConflictError, JobStoreError: of the store.
        StorageFullError: of the results.
    """
    received = await service.read_submission(request, service.settings.limits)
    key = None if idempotency_key is None else (idempotency_key, received.digest)
    submission = await run_in_threadpool(_queue, service, caller, received, key)
    if submission.created:
        service.recorder.add(ACCEPTED.add(submission.job.spec.model))
    return submission


def _queue(service: Service, caller: Caller, received: Received, key: tuple[str, str] | None) -> Submission:
    # First: what was accepted stays so, whatever is served or allowed by now.
    former = None if key is None else service.store.submitted(caller.name, key)
    if former is not None:
        return Submission(former, created=False)
    fields, limits = received.fields, service.settings.limits
    name, version = requested_model(service, fields.model)
    mode = _mode(fields, received)
    check_limits(fields, limits, name, version, mode)
    check_sampling(fields, service.settings.defaults, version)
    pictures = [received.first, *([] if received.last is None else [received.last])]
    # Before the row: a job whose picture is missing could never run. Housekeeping removes those without one.
    stored = [service.results.put_picture(each.content, each.width, each.height) for each in pictures]
    try:
        spec = job_spec(fields, service.settings.defaults, name, version, mode, stored)
        submission = service.store.submit(spec, caller.name, _limits_of(caller, limits), key)
    # After other errors the job may be in the store all the same.
    except (RetryLaterError, IdempotencyConflictError):
        _remove(service, stored)
        raise
    if not submission.created:
        _remove(service, stored)
    return submission


def job_spec(
    fields: VideoRequest,
    defaults: DefaultSettings,
    model: str,
    version: ServedVersion,
    mode: Mode,
    pictures: list[StoredPicture],
) -> JobSpec:
    """What is sampled: the client's settings over the operator's; what neither set, the model decides."""
    sampling = sampling_choice(fields, defaults, version)
    size = None if fields.size is None else fields.size.split("x")
    return JobSpec(
        model=model,
        prompt=fields.prompt,
        mode=mode,
        frames=chosen(fields, "num_frames", defaults, "frames"),
        size=None if size is None else (int(size[0]), int(size[1])),
        sampling=SamplingChoice.model_validate(sampling),
        seed=secrets.randbits(_SEED_BITS) if fields.seed is None else fields.seed,
        playback=chosen(fields, "fps", defaults, "playback") or PLAYBACK_FPS,
        first=pictures[0],
        last=pictures[1] if len(pictures) > 1 else None,
    )


def requested_model(service: Service, model: str | None) -> tuple[str, ServedVersion]:
    """The model of a request, as it is put into the job: a name, or the whole id of a bundle.

    Raises:
        ApiError: ``model_not_found``; ``unavailable`` while no replica has reported any model.
    """
    served = overview(service).served()
    if model is not None and len(model) >= SHORTEST_ID and model not in served:
        found = {v.bundle_id: v for v in served.values() if v.bundle_id.startswith(model)}
        if len(found) == 1:
            return next(iter(found.items()))
    name = service.settings.source.models[0] if model is None else model
    if name in served:
        return name, served[name]
    if name in service.settings.source.models[:1]:
        raise ApiError("unavailable", f"no replica has {name} yet: GET /readyz", retry_after_s=_RETRY_S)
    names = ", ".join(served) or "none yet"
    raise ApiError("model_not_found", f"no model {name!r} is served: served are {names}", param="model")


def check_limits(
    fields: VideoRequest, limits: LimitSettings, name: str, version: ServedVersion, mode: Mode
) -> None:
    """Raise ApiError where the model or the operator does not allow what a client set."""
    offered = offer(version, limits)
    if len(fields.prompt) > limits.prompt_chars:
        raise _refused("prompt", f"has {len(fields.prompt)} characters: at most {limits.prompt_chars}")
    if mode not in offered.modes:
        field = "loop" if mode == "loop" else "last_reference"
        raise _refused(field, f"cannot be used with {name}, which makes: {', '.join(offered.modes)}")
    if fields.size is not None and fields.size not in offered.sizes:
        raise _refused("size", f"is {fields.size}: {name} makes {', '.join(offered.sizes)}")
    fewest = max(offered.min_frames, MIN_FRAMES[mode])
    if fields.num_frames is not None and not fewest <= fields.num_frames <= offered.max_frames:
        made = f"{name} makes {fewest} to {offered.max_frames}"
        raise _refused("num_frames", f"is {fields.num_frames}: {made}")
    if fields.motion is not None:
        _check_motion(fields.motion, offered, name)
    steps = fields.num_inference_steps
    if steps is not None and steps > offered.max_steps:
        raise _refused("num_inference_steps", f"is {steps}: at most {offered.max_steps}")


def _check_motion(motion: float, offered: ModelLimits, name: str) -> None:
    if offered.max_motion is None or offered.min_motion is None:
        raise _refused("motion", f"cannot be used with {name}, which was not trained for it")
    if not offered.min_motion <= motion <= offered.max_motion:
        made = f"{name} makes {offered.min_motion:.3g} to {offered.max_motion:.3g}"
        raise _refused("motion", f"is {motion:g}: {made}")


def _limits_of(caller: Caller, limits: LimitSettings) -> LimitSettings:
    """The operator's limits, with the rate of a key that has its own."""
    own = caller.requests_per_minute
    return limits if own is None else limits.model_copy(update={"requests_per_minute": own})


def _mode(fields: VideoRequest, received: Received) -> Mode:
    if fields.loop and received.last is not None:
        raise _refused("last_reference", "ends the clip at another picture than loop: give one of them")
    return "loop" if fields.loop else "animate" if received.last is None else "interpolate"


def _refused(param: str, problem: str) -> ApiError:
    return ApiError("invalid_request", f"{param} {problem}", param=param)


def _remove(service: Service, stored: list[StoredPicture]) -> None:
    for picture in stored:
        service.results.remove(picture.name)
