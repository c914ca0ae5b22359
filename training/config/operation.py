"""Sections of a run's configuration that decide no weights: where it runs, what it measures and records."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from core.config.section import Section
from core.urls import has_credentials
from models.diffusion.settings import SamplingSettings

_STEPS = re.compile(r"([1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")


class ValidationConfig(Section):
    """Held-out loss and sample clips; on GPUs in bfloat16, whatever ``sampling.precision`` is."""

    data: str | None = Field(
        None,
        description="folder or URL of an ingested dataset, held out of training, whose first clips are used; "
        "null: those of data.dataset, which are trained on too",
    )
    loss_every: int = Field(
        0, ge=0, description="steps between measurements of the denoising loss at fixed noise; 0: never"
    )
    loss_clips: int = Field(16, gt=0, description="clips that the loss is the mean of")
    every: int = Field(0, ge=0, description="steps between renderings of sample clips; 0: never")
    count: int = Field(2, gt=0, description="sample clips each time")
    prompts: list[str] | None = Field(None, description="captions in place of the dataset's")
    sampling: SamplingSettings = SamplingSettings()


class ObserveConfig(Section):
    """What is measured besides the loss; without effect on the weights."""

    profile: str | None = Field(
        None, description="steps that torch's profiler traces, as 10 or 10-12; null: none"
    )
    peak_tflops: float | None = Field(
        None, gt=0, description="of a device in the run's precision, for the MFU; null: that of known GPUs"
    )

    @property
    def last_profiled(self) -> int:
        """The last step that is traced; 0 for none."""
        return int((self.profile or "0").rpartition("-")[2])

    @field_validator("profile", mode="before")
    @classmethod
    def _range_of_steps(cls, profile: object) -> str | None:
        if profile is None:
            return None
        # In YAML, a single step is a number.
        match = _STEPS.fullmatch(str(profile)) if isinstance(profile, str | int) else None
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{str(profile)[:40]!r} names no steps: use one as 10, or a range as 10-12")
        return match[0]


class TrackingConfig(Section):
    """Trackers, which mirror the run's journal."""

    mlflow_uri: str | None = Field(
        None, description="tracking server or sqlite file, without password; null: local sqlite"
    )
    wandb: Literal["offline", "online", "disabled"] = Field("offline", description="Weights & Biases mode")
    project: str = Field("animatic", description="experiment (MLflow) and project (W&B)")

    @field_validator("mlflow_uri")
    @classmethod
    def _without_password(cls, uri: str | None) -> str | None:
        if uri is not None and has_credentials(uri):
            # The configuration is written to run folders and trackers.
            raise ValueError(
                "contains a password or token: leave it out, and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN; for a database, set the whole URI in "
                "ANIMATIC_MLFLOW_URI"
            )
        return uri


class UploadConfig(Section):
    """A folder elsewhere that the run's checkpoints, records and products are copied to."""

    url: str | None = Field(None, description="URL of the folder, as s3://bucket/run; null: none")
    keep_checkpoints: int = Field(2, gt=0, description="newest checkpoints kept there")
    patience_s: float = Field(600.0, gt=0, description="for how long one upload is tried again, in seconds")

    @field_validator("url")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        if url is not None and has_credentials(url):
            # The configuration is written to run folders and trackers.
            raise ValueError(
                "contains a password or token: leave it out, and set the variables of the store, as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return url


class LaunchConfig(Section):
    """Training processes, and where they run."""

    workers: int = Field(1, gt=0, description="training processes")
    gpus_per_worker: Literal[0, 1] = Field(0, description="1: a GPU for each process; 0: CPU")
    min_workers: int | None = Field(
        None,
        gt=0,
        description="fewest training processes that the run starts and goes on with where processors are "
        "missing or nodes are lost; null: all of workers",
    )
    address: str | None = Field(None, description="Ray cluster; null: local Ray")
    wait_s: float = Field(
        1800,
        gt=0,
        description="longest wait for processors of the cluster to become free, or for nodes to join, in "
        "seconds",
    )
    restarts: int = Field(
        2,
        ge=0,
        description="restarts of the workers without a new checkpoint in between, after a worker failed or "
        "its node was lost",
    )
    hang_s: float | None = Field(
        1800,
        gt=0,
        description="without progress of any process for so long, and several times the longest step, the "
        "workers are restarted, in seconds; null: never",
    )

    @model_validator(mode="after")
    def _range_of_workers(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} is above workers {self.workers}")
        return self
