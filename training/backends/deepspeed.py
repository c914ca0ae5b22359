"""DeepSpeed's engine around an animator, with its traps closed.

Measured on DeepSpeed 0.19.8: weights must be in place before ``initialize`` (loading them afterwards can be
silently undone); a non-finite gradient skips the optimizer step without an error; unknown top-level keys of
its configuration are accepted silently, so the dictionary is written here from the typed configuration only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import AnimaticError
from models.animator import Animator
from models.batch import Batch
from models.network.activation_checkpointing import checkpoint_activations
from training.config import RunConfig
from training.objectives.denoising import DenoisingObjective
from training.process_group import ProcessGroup

# Precisions that keep half weights and fp32 masters; DeepSpeed's names are the configuration's.
_HALF_WEIGHTS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. ``loss`` is the mean over the global batch, on the device."""

    loss: Tensor
    applied: bool
    grad_norm: float


class Objective(nn.Module):
    """What DeepSpeed sees: the trained networks as children, the training loss as forward.

    The frozen encoders and codec stay outside of the module tree: they are neither cast, sharded nor saved.
    """

    def __init__(self, animator: Animator, weights: torch.dtype | None) -> None:
        """``weights``: the half type that DeepSpeed casts the networks to, if it does."""
        super().__init__()
        self.unet, self.context = animator.network.unet, animator.network.context
        self._objective = DenoisingObjective(animator)
        self._weights = weights

    def forward(self, batch: Batch, temporal: bool) -> Tensor:
        """Mean loss of the batch."""
        if self._weights is None:
            # An autocast of our own, even a disabled one, would replace DeepSpeed's.
            return self._objective(batch, temporal=temporal)
        # Frozen encoders return fp32: autocast brings inputs to the type of the weights.
        with torch.autocast(self._objective.animator.device.type, self._weights):
            return self._objective(batch, temporal=temporal)


class GuardedAdamW(torch.optim.AdamW):
    """AdamW for ZeRO stage 0: clips, and skips steps with non-finite gradients as the ZeRO optimizers do.

    ``overflow`` and ``_global_grad_norm`` are the names that DeepSpeed's engine reads after a step.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], max_norm: float, **settings: Any) -> None:
        super().__init__(parameters, **settings)
        self.overflow = False
        self._global_grad_norm = 0.0
        self._max_norm = max_norm or float("inf")

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply the gradients unless one is not finite."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, self._max_norm))
        self._global_grad_norm = norm
        self.overflow = not torch.isfinite(torch.tensor(norm)).item()
        if not self.overflow:
            super().step(closure)


class Engine:
    """Trains an animator with ZeRO.

    Attributes:
        animator: the animator in training; under ZeRO-3 its parameters are sharded placeholders.
        trainable: names of the trained parameters, in order.
    """

    def __init__(
        self, animator: Animator, trainable: Sequence[str], weights: Mapping[str, Tensor], config: RunConfig
    ) -> None:
        """``weights``: the initial fp32 weights, already in the animator.

        Raises AnimaticError when the batch cannot be shared by this number of processes, or the device does
        not compute in the precision asked for.
        """
        import deepspeed

        self.animator, self.trainable, self._config = animator, list(trainable), config
        self.world = ProcessGroup(dist.get_rank(), dist.get_world_size())
        self.micro_batch, self.accumulation = batch_shares(config, self.world.size)
        accelerator = deepspeed.accelerator.get_accelerator()
        if config.train.precision == "fp16" and not accelerator.is_fp16_supported():
            raise AnimaticError(
                "train.precision fp16: DeepSpeed does not support it on this device; use bf16"
            )
        self.device = torch.device(accelerator.current_device_name())
        animator.to(self.device)
        chosen = set(self.trainable)
        for name, parameter in animator.network.named_parameters():
            parameter.requires_grad_(name in chosen)
        checkpoint_activations(animator.network.unet, config.train.activation_checkpointing)
        objective = Objective(animator, _HALF_WEIGHTS.get(config.train.precision)).train()
        self._engine, *_ = deepspeed.initialize(
            model=objective,
            optimizer=self._optimizer(animator),
            config=self._deepspeed_config(),
            dist_init_required=False,
        )
        # Outside of DeepSpeed's cast to bf16: masters start from the exact weights.
        for name, (fragment, start) in self.fragments().items():
            whole = weights[name].flatten()
            share = min(fragment.numel(), whole.numel() - start)
            fragment[:share].copy_(whole[start : start + share])

    def train_step(self, batch: Batch, step: int, *, temporal: bool = True) -> StepResult:
        """One optimizer step (number ``step``, from 1) on this rank's share of the global batch."""
        # Dropout is the only draw that is not keyed by sample: keyed by step, nothing needs to be saved.
        torch.manual_seed((self._config.seed * 1_000_003 + step) * 4096 + self.world.rank)
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate(self._config, step)
        total = torch.zeros((), device=self.device)
        if len(batch) % self.accumulation:
            raise ValueError(f"batch of {len(batch)} samples cannot be split into {self.accumulation} passes")
        for micro_batch in batch.to(self.device).split(len(batch) // self.accumulation):
            loss = self._engine(micro_batch, temporal)
            self._engine.backward(loss)
            self._engine.step()
            total += loss.detach().float() / self.accumulation
        dist.all_reduce(total)
        norm = self._engine.get_global_grad_norm()
        return StepResult(total / self.world.size, self._engine.was_step_applied(), float(norm or 0.0))

    @property
    def skipped_steps(self) -> int:
        """Steps skipped for non-finite gradients since the run began, resumes included."""
        return self._engine.skipped_steps

    def fragments(self) -> dict[str, tuple[Tensor, int]]:
        """This rank's parts of the fp32 master weights: name -> (flat view, its start in the flat parameter).

        Parameters of which this rank holds nothing are left out. Views may end in padding (ZeRO-3).
        """
        from deepspeed.utils import safe_get_local_fp32_param

        # DeepSpeed hangs its own attributes on parameters.
        parameters: dict[str, Any] = dict(self.animator.network.named_parameters())
        parts: dict[str, tuple[Tensor, int]] = {}
        for name in self.trainable:
            parameter = parameters[name]
            if self._config.train.zero_stage == 0:
                parts[name] = parameter.detach().view(-1), 0
            elif self._config.train.zero_stage == 3:
                fragment = safe_get_local_fp32_param(parameter).detach()
                start = fragment.numel() * self.world.rank
                if start < parameter.ds_numel:
                    parts[name] = fragment, start
            elif parameter._hp_mapping is not None:
                mapping = parameter._hp_mapping
                parts[name] = mapping.hp_fragment.detach(), mapping.lp_fragment_address.start
        return parts

    def gather(self, values: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Whole fp32 tensors of the trained parameters, on rank 0's CPU; empty elsewhere. Collective.

        ``values``: what to gather in place of the master weights, laid out like :meth:`fragments`.
        """
        parts = self.fragments()
        parameters = dict(self.animator.network.named_parameters())
        gathered: dict[str, Tensor] = {}
        for name in self.trainable:
            parameter = parameters[name]
            shape = getattr(parameter, "ds_shape", parameter.shape)
            whole = torch.zeros(shape.numel(), device=self.device)
            owner = self._config.train.zero_stage != 0 or self.world.rank == 0
            if name in parts and owner:
                fragment, start = parts[name]
                share = min(fragment.numel(), whole.numel() - start)
                whole[start : start + share] = (fragment if values is None else values[name])[:share]
            dist.all_reduce(whole)
            if self.world.rank == 0:
                gathered[name] = whole.view(shape).cpu()
        return gathered

    def save(self, folder: str) -> None:
        """Write every rank's weights, masters and moments into ``folder``. Collective."""
        self._engine.save_checkpoint(
            folder, tag="deepspeed", save_latest=False, exclude_frozen_parameters=True
        )

    def load(self, folder: str) -> None:
        """Read what :meth:`save` wrote, with the same number of ranks and ZeRO stage. Collective."""
        # Frozen weights are not in the checkpoint (they come from bundles), hence not strict.
        path, _ = self._engine.load_checkpoint(folder, tag="deepspeed", load_module_strict=False)
        if path is None:
            raise AnimaticError(f"DeepSpeed found no checkpoint in {folder}")

    def _optimizer(self, animator: Animator) -> torch.optim.Optimizer:
        options = self._config.optimizer
        parameters = [p for p in animator.network.parameters() if p.requires_grad]
        settings: dict[str, Any] = {
            "lr": options.lr,
            "betas": options.betas,
            "eps": options.eps,
            "weight_decay": options.weight_decay,
        }
        # An object, not DeepSpeed's "AdamW": that one compiles a fused kernel on first use.
        if self._config.train.zero_stage == 0:
            return GuardedAdamW(parameters, options.grad_clip, **settings)
        return torch.optim.AdamW(parameters, **settings)

    def _deepspeed_config(self) -> dict[str, Any]:
        train = self._config.train
        values: dict[str, Any] = {
            "train_batch_size": train.global_batch,
            "train_micro_batch_size_per_gpu": self.micro_batch,
            "gradient_accumulation_steps": self.accumulation,
            # Memory-efficient linear replaces torch's function for the whole process.
            "zero_optimization": {"stage": train.zero_stage, "memory_efficient_linear": False},
            "steps_per_print": None,
            "wall_clock_breakdown": False,
        }
        if train.zero_stage:  # at stage 0 GuardedAdamW clips
            values["gradient_clipping"] = self._config.optimizer.grad_clip
        if train.precision in _HALF_WEIGHTS:
            values[train.precision] = {"enabled": True}
        elif train.precision == "autocast-bf16":
            values["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
        return values


def batch_shares(config: RunConfig, world_size: int) -> tuple[int, int]:
    """(samples per forward pass, passes per step) of each rank; with the ranks they make the global batch.

    Batches of buckets are split into as many passes: DeepSpeed knows one number. Raises AnimaticError when
    a batch cannot be shared evenly.
    """
    total = config.train.global_batch
    if total % world_size:
        raise AnimaticError(
            f"train.global_batch {total} cannot be shared by {world_size} workers: make it a multiple"
        )
    share = total // world_size
    micro = min(config.train.micro_batch or share, share)
    if share % micro:
        raise AnimaticError(
            f"train.micro_batch {micro} does not divide the {share} samples of each of {world_size} workers"
        )
    passes = share // micro
    parts = world_size * passes
    for bucket in config.data.buckets:
        batch = bucket.batch or total
        if batch % parts:
            fitting = " or ".join(str(n * parts) for n in (batch // parts, batch // parts + 1) if n)
            raise AnimaticError(
                f"the batch of {batch} of bucket {bucket} cannot be shared evenly by {world_size} workers in "
                f"{passes} passes each (train.global_batch / workers / train.micro_batch): make it {fitting}"
            )
    return micro, passes


def learning_rate(config: RunConfig, step: int) -> float:
    """Linear warm-up to a constant; ``step`` counts from 1."""
    warmup = config.optimizer.warmup_steps
    return config.optimizer.lr * min(1.0, step / warmup if warmup else 1.0)
