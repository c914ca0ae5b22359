"""Training with DeepSpeed's ZeRO.

Measured on DeepSpeed 0.19.8: weights must be in place before ``initialize`` (loading them afterwards can be
silently undone), and a non-finite gradient skips the optimizer step without an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import AnimaticError
from models.animator import Animator
from models.batch import Batch
from models.frozen_parts import place_for_training
from models.network.activation_checkpointing import checkpoint_activations, in_host_memory
from models.network.compilation import BLOCKS, compile_blocks
from models.network.network import Network
from models.network.unet import UNet
from training.backends.base import StepResult
from training.backends.deepspeed_config import HALF_WEIGHTS, deepspeed_config
from training.backends.engine_state import EngineState
from training.backends.offload import drop_skipped_gradients
from training.backends.optimizer import build_optimizer
from training.backends.schedule import learning_rate
from training.batch_shares import batch_shares
from training.checkpoints import FirstFormat
from training.checkpoints.state import Counters, Piece, StateReader
from training.clock import StepClock
from training.config import RunConfig
from training.objectives.base import Losses, Objective
from training.processes.group import ProcessGroup


class DeepSpeedBackend:
    """Trains the network of an animator with ZeRO; see :class:`training.backends.Backend`.

    Under ZeRO stage 3 the network's parameters are placeholders for sharded ones.
    """

    def __init__(
        self,
        animator: Animator,
        objective: Objective,
        trainable: Sequence[str],
        weights: Mapping[str, Tensor],
        config: RunConfig,
        group: ProcessGroup,
        clock: StepClock | None = None,
    ) -> None:
        """Collective.

        Args:
            objective: computes the loss of a batch with the animator's network.
            trainable: names of the parameters to train, in order.
            weights: the initial weights, already in the animator, in the precision of their bundles.
            clock: times the passes and the optimizer.

        Raises AnimaticError when the batch cannot be shared by this number of processes, or the device does
        not compute in the configured precision.
        """
        import deepspeed
        from deepspeed.runtime import torch_autocast

        self.device, self.trainable = _device(config), list(trainable)
        self._config, self._group, self._clock = config, group, clock or StepClock()
        self._shares = batch_shares(config, group.size)
        place_for_training(animator, self.device)
        self._prepare(animator.network.unet)
        # DeepSpeed adds its own attributes to parameters.
        self._parameters: dict[str, Any] = dict(animator.network.named_parameters())
        # Under ZeRO stage 3 the parameters in the module are empty.
        self._shapes = {name: parameter.shape for name, parameter in self._parameters.items()}
        _train_only(self.trainable, self._parameters)
        half = HALF_WEIGHTS.get(config.train.precision)
        # DeepSpeed keeps the autocast of an earlier run in this process, and reduces gradients in its type.
        torch_autocast.TORCH_AUTOCAST_INITIALIZED = False
        self._engine, *_ = deepspeed.initialize(
            model=_LossModule(animator.network, objective, half).train(),
            optimizer=build_optimizer(config, [p for p in self._parameters.values() if p.requires_grad]),
            config=deepspeed_config(
                config, self._shares, sum(self._shapes[name].numel() for name in self.trainable)
            ),
            dist_init_required=False,
        )
        trained = {name: self._parameters[name] for name in self.trainable}
        self._state = EngineState(self._engine, trained, self._shapes, group, config.optimizer.kind)
        self._state.set_masters(weights)

    def _prepare(self, unet: UNet) -> None:
        """Replace what computes the blocks of the network by what the configuration chooses."""
        from deepspeed.utils import set_z3_leaf_modules

        train = self._config.train
        if train.compile:
            compile_blocks(unet)
            if train.zero_stage == 3:
                # Gathers and releases the weights of a block at once: the hooks for its layers, which would
                # do so one by one, cannot be compiled.
                set_z3_leaf_modules(unet, list(BLOCKS))
        saving = in_host_memory if train.offload_activations else None
        checkpoint_activations(unet, train.activation_checkpointing, saving)

    @property
    def is_first(self) -> bool:
        """Whether :meth:`gather` returns the weights in this process."""
        return self._group.is_first

    @property
    def skipped_steps(self) -> int:
        """Steps skipped for non-finite gradients since the run began, resumes included."""
        return self._engine.skipped_steps

    @property
    def loss_scale(self) -> float | None:
        """The factor on the loss that keeps fp16 gradients in range; None in other precisions."""
        return float(self._engine.optimizer.cur_scale) if self._config.train.precision == "fp16" else None

    def train_step(
        self, batch: Batch, step: int, *, limit: float | None = None, temporal: bool = True
    ) -> StepResult:
        """One optimizer step; see :class:`training.backends.Backend`."""
        passes, rank = self._shares.passes, self._group.rank
        if len(batch) % passes:
            raise ValueError(f"batch of {len(batch)} samples cannot be split into {passes} passes")
        # Dropout is the only draw that is not keyed by sample: keyed by step, nothing needs to be saved.
        torch.manual_seed((self._config.seed * 1_000_003 + step) * 4096 + rank)
        rate = learning_rate(self._config.optimizer, self._config.train.steps, step - self.skipped_steps)
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        total, found = torch.zeros((), device=self.device), []
        for number, micro_batch in enumerate(batch.to(self.device).split(len(batch) // passes), 1):
            with self._clock.phase("forward"):
                losses = Losses(*self._engine(micro_batch, temporal))
                found.append(losses)
                total += losses.mean.detach().float() / passes
                if number == passes:
                    total = self._mean_over_processes(total)
                    losses = losses._replace(mean=losses.mean * _applied(total, limit))
            with self._clock.phase("backward"):
                self._engine.backward(losses.mean)
            with self._clock.phase("optimizer"):
                self._engine.step()
        applied = self._engine.was_step_applied()
        if not applied and self._config.train.offload_optimizer:
            drop_skipped_gradients(self._engine)
        return StepResult(
            loss=total,
            applied=applied,
            grad_norm=float(self._engine.get_global_grad_norm() or 0.0),
            learning_rate=rate,
            samples=torch.cat([losses.samples for losses in found]),
            timesteps=torch.cat([losses.timesteps for losses in found]),
        )

    def fragments(self) -> dict[str, Piece]:
        """This process's parts of the fp32 master weights; see :class:`training.backends.Backend`."""
        return self._state.fragments()

    def gather(self, values: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Whole fp32 tensors in the first process; see :class:`training.backends.Backend`."""
        # Memory runs out here, in all processes or in none: a reduction without one of them would never end.
        fragments, shapes, buffer = self._group.together(self._gathering)
        copies = _HostCopies(self._group.is_first)
        for name, shape in shapes.items():
            whole = buffer[: shape.numel()].zero_()
            if name in fragments:
                masters, start, _ = fragments[name]
                whole[start : start + masters.numel()] = masters if values is None else values[name]
            dist.all_reduce(whole)
            copies.add(name, whole.view(shape))
        return self._group.together(copies.finished)

    def pieces(self) -> dict[str, Piece]:
        """Masters and moments; see :class:`training.checkpoints.Stateful`."""
        return self._state.pieces()

    def counters(self) -> Counters:
        """Steps, skipped steps and the loss scale; see :class:`training.checkpoints.Stateful`."""
        return self._state.counters()

    def restore(self, reader: StateReader) -> None:
        """Continue from a checkpoint; see :class:`training.checkpoints.Stateful`.

        The settings of the optimizer stay those of the configuration.

        Raises AnimaticError when the checkpoint is of another network, or, in format 1, not complete.
        """
        if isinstance(reader, FirstFormat):
            self._state.load_first_format(reader.folder)
        else:
            self._state.restore(reader)

    def _mean_over_processes(self, value: Tensor) -> Tensor:
        dist.all_reduce(value)
        return value / self._group.size

    def _gathering(self) -> tuple[dict[str, Piece], dict[str, torch.Size], Tensor]:
        """This process's fragments, all whole shapes, and flat memory for the largest."""
        shapes = {name: self._shapes[name] for name in self.trainable}
        return self.fragments(), shapes, flat_buffer(shapes.values(), self.device)


def flat_buffer(shapes: Iterable[torch.Size], device: torch.device) -> Tensor:
    """Uninitialised memory for the values of the largest shape."""
    return torch.empty(max((shape.numel() for shape in shapes), default=0), device=device)


def _train_only(names: Sequence[str], parameters: Mapping[str, nn.Parameter]) -> None:
    """Freeze all parameters but those of these names."""
    chosen = set(names)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in chosen)
        if not parameter.dim():
            # DeepSpeed 0.19.8 views every parameter as bytes, which a scalar cannot be.
            parameter.data = parameter.data.reshape(1)


def _applied(loss: Tensor, limit: float | None) -> Tensor:
    """1 where a step with this loss is applied, else NaN, by which its gradients become such that DeepSpeed
    skips it in all processes. The host does not wait for the loss."""
    accepted = torch.isfinite(loss) if limit is None else loss <= limit
    return torch.where(accepted, 1.0, torch.nan)


class _HostCopies:
    """Copies of tensors in the host's memory; a copy that fails is reported at the end, after all others."""

    def __init__(self, wanted: bool) -> None:
        """``wanted``: False copies nothing."""
        self._wanted = wanted
        self._tensors: dict[str, Tensor] = {}
        self._error: RuntimeError | MemoryError | None = None

    def add(self, name: str, tensor: Tensor) -> None:
        """Copy a tensor, which may change afterwards."""
        if not self._wanted or self._error is not None:
            return
        try:
            self._tensors[name] = tensor.to("cpu", copy=True)
        except (RuntimeError, MemoryError) as error:
            self._error = error
            self._tensors.clear()

    def finished(self) -> dict[str, Tensor]:
        """All copies by name. Raises RuntimeError or MemoryError where memory ran out."""
        if self._error is not None:
            raise self._error
        return self._tensors


class _LossModule(nn.Module):
    """The module that DeepSpeed sees: the network's parts as children, the training loss as forward.

    The frozen encoders and codec, which the objective refers to, stay outside of the module tree: they are
    neither cast, sharded nor saved.
    """

    def __init__(self, network: Network, objective: Objective, half: torch.dtype | None) -> None:
        """``half``: the type that DeepSpeed casts the network to, if it does."""
        super().__init__()
        self.unet, self.context = network.unet, network.context
        self._objective, self._half = objective, half

    def forward(self, batch: Batch, temporal: bool) -> tuple[Tensor, ...]:
        """Losses of the batch, as a tuple: ZeRO stage 3 rebuilds what is returned, which it cannot with a
        named one."""
        if self._half is None:
            # An autocast of our own, even a disabled one, would replace DeepSpeed's.
            return tuple(self._objective(batch, temporal=temporal))
        # Frozen encoders return fp32: autocast brings inputs to the type of the weights.
        with torch.autocast(batch.fps.device.type, self._half):
            return tuple(self._objective(batch, temporal=temporal))


def _device(config: RunConfig) -> torch.device:
    from deepspeed.accelerator import get_accelerator

    accelerator = get_accelerator()
    if config.train.precision == "fp16" and not accelerator.is_fp16_supported():
        raise AnimaticError("train.precision fp16: DeepSpeed does not support it on this device; use bf16")
    return torch.device(accelerator.current_device_name())
