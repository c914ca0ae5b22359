"""Sections of a run's configuration that decide its weights, other than ``model`` and ``data``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.config.section import Section
from models.network.adapter_settings import AdapterSettings
from models.network.settings import ActivationCheckpointing


class OptimizerConfig(Section):
    """AdamW with linear warm-up to a rate that stays or falls."""

    kind: Literal["adamw", "adamw_8bit"] = Field(
        "adamw",
        description="AdamW, or torchao's with moments of 8 bits (the extra `8bit`; zero_stage 0 only)",
    )
    lr: float = Field(gt=0, description="learning rate after the warm-up")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="course of the learning rate after the warm-up"
    )
    final_lr: float = Field(0.0, ge=0, description="learning rate at the end of a linear or cosine schedule")
    decay_steps: int | None = Field(
        None, gt=0, description="steps, the warm-up included, at which final_lr is reached; null: train.steps"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay rates")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")
    weight_decay_on: Literal["all", "matrices"] = Field(
        "all", description="parameters that decay: all, or neither biases nor the scales of norms"
    )
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    grad_clip: float = Field(0.5, ge=0, description="largest gradient norm; 0 switches clipping off")

    @model_validator(mode="after")
    def _rate_falls(self) -> Self:
        if self.schedule == "constant" and (self.final_lr or self.decay_steps):
            raise ValueError(
                "final_lr and decay_steps are for optimizer.schedule linear or cosine: with constant, leave "
                "them out"
            )
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr {self.final_lr} is above lr {self.lr}: choose one of at most lr")
        if self.decay_steps is not None and self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps {self.decay_steps} includes the {self.warmup_steps} of the warm-up: choose more"
            )
        return self


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
    offload_activations: bool = Field(
        False,
        description="in host memory until the backward pass: the inputs of what activation_checkpointing "
        "recomputes",
    )
    offload_optimizer: bool = Field(
        False, description="masters and moments in host memory, and the optimizer's step on the CPU"
    )
    offload_parameters: bool = Field(
        False, description="weights in host memory while no layer uses them; zero_stage 3 only"
    )
    compile: bool = Field(False, description="torch.compile of the network's repeated blocks")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="decay of averaged weights; null: none")
    ema_start: int = Field(0, ge=0, description="step after which the average begins")
    trainable: list[str] | None = Field(
        None, description="globs of parameter names trained besides the stage's own set"
    )
    adapter: AdapterSettings | None = Field(
        None,
        description="its matrices, and what train.trainable names, are trained in place of the stage's own "
        "weights; null: no adapter",
    )
    image_batches: float = Field(
        0.0, ge=0, le=1, description="stage 0: share of steps that leave the temporal layers out"
    )
    condition_from_base: bool = Field(
        False,
        description="stage 3: the first convolution's weights for the condition's latent start as those of "
        "init.base, a network with detail guidance; false: at zero, as published",
    )
    checkpoint_every: int = Field(1000, gt=0, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, gt=0, description="newest checkpoints kept")
    keep_every: int | None = Field(
        None, gt=0, description="checkpoints of steps that this divides are kept besides; null: none"
    )
    background_saves: bool = Field(
        True, description="write checkpoints while training goes on, from copies in host memory"
    )
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
        if self.offload_optimizer and self.zero_stage == 0:
            raise ValueError("offload_optimizer moves what ZeRO shards: use zero_stage 1 to 3")
        if self.offload_activations and self.activation_checkpointing == "none":
            raise ValueError(
                "offload_activations moves the inputs of recomputed blocks: set activation_checkpointing to "
                "full or selective"
            )
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError(f"offload_parameters needs zero_stage 3, not {self.zero_stage}")
        if self.adapter is not None and self.zero_stage == 3:
            raise ValueError(
                "adapter: the few weights that are trained need no sharding, and ZeRO stage 3 would gather "
                "the frozen ones layer by layer: use zero_stage 0 to 2"
            )
        if self.ema_start and self.ema_decay is None:
            raise ValueError("ema_start needs ema_decay, the decay of the average")
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


class ObjectiveConfig(Section):
    """The loss."""

    kind: Literal["denoising", "guidance_distillation", "consistency"] = Field(
        "denoising", description="what is minimised"
    )
    min_snr_gamma: float | None = Field(
        None, gt=0, description="weights of timesteps by min-SNR with this gamma; null: all alike"
    )
    offset_noise: float = Field(
        0.0, ge=0, le=1, description="strength of the noise that is constant over each channel of a sample"
    )
    huber_c: float = Field(
        0.001, gt=0, description="consistency: of the pseudo-Huber loss, below which distances are squared"
    )
    condition_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of samples whose network is given the condition's latent, the others zeros; null: "
        "all, and in stage 0 a network without detail guidance",
    )

    @model_validator(mode="after")
    def _options_are_of_the_kind(self) -> Self:
        chosen = [
            name for name in ("min_snr_gamma", "offset_noise", "condition_share") if getattr(self, name)
        ]
        if chosen and self.kind != "denoising":
            raise ValueError(f"{' and '.join(chosen)}: of kind denoising, not of {self.kind}; leave it out")
        return self


class GuardConfig(Section):
    """What happens to steps whose loss is out of the ordinary."""

    spike_mad: float | None = Field(
        None,
        gt=0,
        description="skip steps whose loss is above the median of the last ones by this many median absolute "
        "deviations; null: only steps that are not finite",
    )
    window: int = Field(100, ge=8, description="applied steps that the median is of")
    rollback_after: int | None = Field(
        None,
        gt=0,
        description="skipped steps in a row after which the run goes back to a checkpoint, and on with other "
        "samples; null: never",
    )
    rollbacks: int = Field(3, gt=0, description="times that a run goes back before it ends with an error")


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
