"""Jobs and replicas as the API answers them."""

from __future__ import annotations

from datetime import datetime

from orchestration.serving.jobs import Clip, Job, MadeBy
from orchestration.serving.schema import Content, ContentFile, MadeByBundle, Video, VideoError

VIDEOS = "/v1/videos"


def video_of(job: Job) -> Video:
    """A job as a video. What the client and the operator left open is null until a replica has run it."""
    spec, made_by = job.spec, job.made_by
    sampling = spec.sampling if made_by is None or made_by.sampling is None else made_by.sampling
    mp4 = job.mp4
    size = (mp4.width, mp4.height) if mp4 else spec.size
    return Video(
        id=job.id,
        status=job.state,
        progress=_progress(job),
        model=spec.model,
        mode=spec.mode,
        created_at=unix(job.created),
        started_at=None if job.started is None else unix(job.started),
        completed_at=None if job.ended is None else unix(job.ended),
        expires_at=None if job.expires is None else unix(job.expires),
        queue_position=job.position,
        step=job.step,
        steps=job.steps,
        remaining_seconds=job.remaining_s if job.state == "in_progress" else None,
        prompt=spec.prompt,
        size=None if size is None else f"{size[0]}x{size[1]}",
        num_frames=mp4.frames if mp4 else spec.frames,
        fps=spec.playback,
        seed=spec.seed,
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
        bundle=None if made_by is None else bundle_of(made_by),
        content=_content(job),
        error=None if job.error is None else VideoError.model_validate(job.error, from_attributes=True),
    )


def bundle_of(made_by: MadeBy) -> MadeByBundle:
    """What made a clip."""
    return MadeByBundle(
        id=made_by.bundle_id,
        manifest=made_by.manifest,
        preset=made_by.preset,
        stage=made_by.stage,
        alias=made_by.alias,
    )


def unix(time: datetime) -> int:
    """Whole seconds since 1970."""
    return int(time.timestamp())


def _progress(job: Job) -> int:
    """Percent of the steps; 100 only once the clip can be fetched."""
    if job.state in ("completed", "expired"):
        return 100
    if not job.steps or not job.step:
        return 0
    return min(99, 100 * job.step // job.steps)


def _content(job: Job) -> Content | None:
    if job.state != "completed" or job.mp4 is None:
        return None
    mp4, url = job.mp4, f"{VIDEOS}/{job.id}/content"
    return Content(
        url=url,
        media_type="video/mp4",
        bytes=mp4.bytes,
        sha256=mp4.sha256,
        width=mp4.width,
        height=mp4.height,
        num_frames=mp4.frames,
        seconds=mp4.seconds,
        gif=None if job.gif is None else _gif(job.gif, url),
    )


def _gif(gif: Clip, url: str) -> ContentFile:
    return ContentFile(url=f"{url}?format=gif", media_type="image/gif", bytes=gif.bytes, sha256=gif.sha256)
