"""Videos as the API answers them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from models.diffusion.settings import Solver
from models.modes import Mode
from orchestration.serving.schema.codes import JobErrorCode

VideoStatus = Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"]
_ID = "video_4f9c2d1e8a7b4c6d9e0f1a2b3c4d5e6f"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_BUNDLE = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

EXAMPLE_VIDEO: JsonDict = {
    "id": _ID,
    "object": "video",
    "status": "completed",
    "progress": 100,
    "model": "champion",
    "mode": "animate",
    "created_at": 1767225600,
    "started_at": 1767225602,
    "completed_at": 1767225640,
    "expires_at": 1767312040,
    "queue_position": None,
    "step": 50,
    "steps": 50,
    "remaining_seconds": None,
    "prompt": "waves roll onto the beach",
    "size": "512x320",
    "num_frames": 16,
    "fps": 8.0,
    "seed": 42,
    "num_inference_steps": 50,
    "guidance_scale": 7.5,
    "image_guidance_scale": None,
    "eta": 1.0,
    "solver": "ddim",
    "guidance_interval": [0.0, 1.0],
    "guidance_every": 1,
    "cache_every": 1,
    "conditioning_fps": None,
    "motion": None,
    "bundle": {"id": _BUNDLE, "manifest": _DIGEST, "preset": "512", "stage": 3, "alias": "champion"},
    "content": {
        "url": f"/v1/videos/{_ID}/content",
        "media_type": "video/mp4",
        "bytes": 182_331,
        "sha256": _DIGEST,
        "width": 512,
        "height": 320,
        "num_frames": 16,
        "seconds": 2.0,
        "gif": {
            "url": f"/v1/videos/{_ID}/content?format=gif",
            "media_type": "image/gif",
            "bytes": 1_203_114,
            "sha256": _BUNDLE,
        },
    },
    "error": None,
}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class MadeByBundle(_Answer):
    """The model that made a clip."""

    id: str = Field(description="digest of the bundle")
    manifest: str = Field(description="digest of the manifest of its export: the version that was served")
    preset: str
    stage: int
    alias: str | None = Field(description="name of the bundle when it was exported, as champion")


class ContentFile(_Answer):
    """A file of a clip."""

    url: str = Field(description="path on this service")
    media_type: Literal["video/mp4", "image/gif"]
    bytes: int
    sha256: str = Field(description="also the ETag")


class Content(ContentFile):
    """The clip, as mp4; and as GIF."""

    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    num_frames: int
    seconds: float
    gif: ContentFile | None


class VideoError(_Answer):
    """Why a video failed."""

    code: JobErrorCode
    message: str


class Video(_Answer):
    """A job as the API has it: what was asked for, how far it is, and what came of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_VIDEO]})

    id: str
    object: Literal["video"] = "video"
    status: VideoStatus
    progress: int = Field(ge=0, le=100, description="percent of the denoising steps; 100: completed")
    model: str = Field(description="as asked for, or the operator's")
    mode: Mode
    created_at: int = Field(description="unix seconds, as all times")
    started_at: int | None = Field(description="start of the newest attempt")
    completed_at: int | None = Field(description="when it ended, in whatever way")
    expires_at: int | None = Field(description="when its content will be removed, or was")
    queue_position: int | None = Field(description="from 1, while queued")
    step: int | None = Field(description="denoising steps done, in progress")
    steps: int | None = Field(description="denoising steps in all, once known")
    remaining_seconds: float | None = Field(description="estimated, in progress")
    prompt: str
    size: str | None = Field(description="WIDTHxHEIGHT; null: the model's, until it ran")
    num_frames: int | None = Field(description="null: the model's, until it ran")
    fps: float = Field(description="frames per second of the files")
    seed: int
    num_inference_steps: int | None = Field(
        description="null, as of the following: the model's, until it ran"
    )
    guidance_scale: float | None
    image_guidance_scale: float | None
    eta: float | None
    solver: Solver | None = None
    guidance_interval: tuple[float, float] | None = Field(
        None, description="the operator's, as the two that follow: shares of the noise schedule guided"
    )
    guidance_every: int | None = Field(None, description="steps of which one computed guidance")
    cache_every: int | None = Field(None, description="steps of which one computed the whole network")
    conditioning_fps: float | None
    motion: float | None
    bundle: MadeByBundle | None = Field(description="what made the clip")
    content: Content | None = Field(description="the clip, while it is stored")
    error: VideoError | None = Field(description="why it failed")


class VideoList(_Answer):
    """A part of the list of videos, newest first by default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "list",
                    "data": [EXAMPLE_VIDEO],
                    "first_id": _ID,
                    "last_id": _ID,
                    "has_more": False,
                }
            ]
        }
    )

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None = Field(description="give it as after=… for the next part")
    has_more: bool


class VideoDeleted(_Answer):
    """The answer to the removal of a video that had ended."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": _ID, "object": "video.deleted", "deleted": True}]}
    )

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True
