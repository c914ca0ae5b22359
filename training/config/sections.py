"""Sections of a run's configuration other than ``model`` and ``data``."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from core.config.section import Section
from core.urls import has_credentials
from models.diffusion.settings import SamplingSettings
from models.network.settings import ActivationCheckpointing


class OptimizerConfig(Section):
    """AdamW with linear warm-up to a constant rate."""

    lr: float = Field(gt=0, description="learning rate after the warm-up")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay rates")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    grad_clip: float = Field(0.5, ge=0, description="largest gradient norm; 0 switches clipping off")


class TrainConfig(Section):
    """The training loop."""

    steps: int = Field(gt=0, description="optimizer steps of the whole stage")
    global_batch: int = Field(gt=0, description="samples per optimizer step over all processes, exactly")
    micro_batch: int | None = Field(
        None, gt=0, description="samples per forward pass of a process; null: its whole share"
    )
    precision: Literal["fp32", "bf16", "fp16", "autocast-bf16"] = Field(
        "autocast-bf16",
        description="bf16 and fp16 keep weights of that type and fp32 masters (fp16 scales the loss); "
        "autocast-bf16 keeps fp32 weights",
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="DeepSpeed ZeRO stage")
    gradient_precision: Literal["fp32", "weights"] = Field(
        "fp32",
        description="in which gradients are summed over passes and processes: fp32, or the half type of the "
        "weights or of autocast, with half the traffic",
    )
    activation_checkpointing: ActivationCheckpointing = Field(
        "none", description="recomputed in the backward pass: nothing, the transformers, or every block"
    )
    ema_decay: float | None = Field(None, gt=0, lt=1, description="decay of averaged weights; null: none")
    trainable: list[str] | None = Field(
        None, description="globs of parameter names trained besides the stage's own set"
    )
    image_batches: float = Field(
        0.0, ge=0, le=1, description="stage 0: share of steps that leave the temporal layers out"
    )
    checkpoint_every: int = Field(1000, gt=0, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, gt=0, description="newest checkpoints kept")
    log_every: int = Field(10, gt=0, description="steps between journal lines")
    max_skipped: int = Field(10, gt=0, description="skipped steps in a row that end the run")
    bundle_dtype: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="precision of the bundle")

    @model_validator(mode="after")
    def _masters_exist(self) -> Self:
        if self.precision in ("bf16", "fp16") and self.zero_stage == 0:
            raise ValueError(
                f"precision {self.precision} keeps its fp32 master weights in ZeRO: use zero_stage 1 to 3, "
                "or precision autocast-bf16"
            )
        if self.image_batches and self.zero_stage == 3:
            # ZeRO-3 updates unused layers with the gradients of an earlier step (measured).
            raise ValueError(
                "image_batches leaves layers unused, which ZeRO stage 3 cannot do: use zero_stage 0 to 2"
            )
        if self.micro_batch and self.global_batch % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide global_batch {self.global_batch}"
            )
        return self


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


class LaunchConfig(Section):
    """Training processes, and where they run."""

    workers: int = Field(1, gt=0, description="training processes")
    gpus_per_worker: Literal[0, 1] = Field(0, description="1: a GPU for each process; 0: CPU")
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


class InitConfig(Section):
    """Bundles that the stage starts from; ``prior`` is the one that ships with the code."""

    base: str | None = Field(None, description="bundle with the text-to-image or text-to-video network")
    parent: str | None = Field(None, description="bundle of the previous stage")
    checkpoint: str | None = Field(
        None,
        description="checkpoint of another run that differs in `optimizer` alone, which this run continues",
    )


class AblationConfig(Section):
    """The paper's ablations, all off by default."""

    no_context: bool = Field(False, description="no query transformer, no image attention")
    no_detail_guidance: bool = Field(False, description="stage 3 without the concatenated latent")
    first_frame: bool = Field(False, description="the first frame as condition instead of a random one")
    one_stage: bool = Field(False, description="stage 3 directly from stage 1's bundle")
    joint: bool = Field(
        False, description="stage 3 directly from the base: everything that stages train, at once"
    )
    class_token: bool = Field(
        False, description="the query transformer reads CLIP's class token alone, not all image tokens"
    )

    @model_validator(mode="after")
    def _switches_agree(self) -> Self:
        if self.joint and self.one_stage:
            raise ValueError(
                "joint starts stage 3 from the base alone, one_stage from stage 1's bundle: choose one"
            )
        if self.class_token and self.no_context:
            raise ValueError(
                "no_context leaves out the query transformer, whose input class_token chooses: choose one of "
                "them"
            )
        return self
