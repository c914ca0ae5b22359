"""Memory and arithmetic of one forward and backward pass, from a rehearsal on the meta device.

The rehearsal is the run's own objective on the run's own network, at its real sizes: every tensor has its
shape and type, and no storage. What is alive is counted as torch creates and frees it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import nn

from models.animator import animator_on_meta
from models.batch import Batch
from models.encoders.captions import TOKENS
from models.network.activation_checkpointing import checkpoint_activations
from models.network.attention import SpatialTransformer, TemporalTransformer
from models.network.blocks import Downsample, Layer
from models.network.settings import ActivationCheckpointing
from models.network.unet import Middle
from orchestration.planner.live_memory import HostMemory, LiveMemory, weights_and_buffers
from orchestration.planner.meta_device import CudaKernels, FlopCount
from training.adapter import trained_animator
from training.clock import StepClock
from training.config import RunConfig
from training.objectives import DISTILLATIONS, Objective, build_objective, teacher_on_meta
from training.trainable import trainable_names

# What activation checkpointing may compute again.
_CHECKPOINTED = (SpatialTransformer, TemporalTransformer, Layer, Downsample, Middle)


@dataclass(frozen=True)
class Arrival:
    """A gradient that the backward pass has computed.

    Attributes:
        numel: of its parameter.
        size: bytes of it.
        peak: most bytes of activations and temporaries since the arrival before, the gradient included.
        live: bytes of them once the gradient has been moved to where it is summed.
    """

    numel: int
    size: int
    peak: int
    live: int


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass of a process.

    Attributes:
        samples: of the pass.
        forward: most bytes alive in the forward pass, besides weights.
        kept: bytes alive after it.
        arrivals: the gradients, in the order of the backward pass.
        flops: floating-point operations (a multiplication and an addition are two), recomputation included.
        host: bytes in host memory of activations that were moved there.
    """

    samples: int
    forward: int
    kept: int
    arrivals: tuple[Arrival, ...]
    flops: int
    host: int = 0

    @property
    def peak(self) -> int:
        """Most bytes of activations and temporaries."""
        return max(self.forward, *(arrival.peak for arrival in self.arrivals))

    def of(self, samples: int) -> Pass:
        """The pass of another number of samples: everything grows with them but the gradients."""

        def scaled(value: int) -> int:
            return value * samples // self.samples

        arrivals = tuple(
            Arrival(one.numel, one.size, scaled(one.peak - one.size) + one.size, scaled(one.live))
            for one in self.arrivals
        )
        return Pass(
            samples,
            scaled(self.forward),
            scaled(self.kept),
            arrivals,
            scaled(self.flops),
            scaled(self.host),
        )


def rehearse(
    config: RunConfig, scope: ActivationCheckpointing, samples: int, *, encoded: bool, half: bool
) -> Pass:
    """Memory and arithmetic of a pass of so many samples.

    Args:
        scope: what is recomputed in the backward pass.
        encoded: latents and text are stored; False: they are encoded from pixels and captions.
        half: weights of a half type, under autocast, as DeepSpeed keeps them; False: float32.
    """
    animator = trained_animator(config)
    network = animator.network
    if half:
        network.to(torch.bfloat16)
    chosen = set(trainable_names(config, [name for name, _ in network.named_parameters()]))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    network.train()
    kernels = CudaKernels(torch.bfloat16 if half else None)
    for module in network.unet.modules():
        if isinstance(module, _CHECKPOINTED):
            kernels.follow(module)
    host = HostMemory()
    moved = config.train.offload_activations and scope != "none"
    checkpoint_activations(network.unet, scope, host.saving if moved else None)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    batch = sample_batch(config, samples, encoded=encoded)
    known = weights_and_buffers(animator)
    teacher = teacher_on_meta(config, network) if config.objective.kind in DISTILLATIONS else None
    if teacher is not None:
        known += teacher.tensors
    objective = build_objective(config, animator, StepClock(), teacher)
    work = _measured(objective, batch, known, trained, kernels)
    return replace(work, host=host.bytes)


def _measured(
    objective: Objective,
    batch: Batch,
    known: list[torch.Tensor],
    trained: Collection[nn.Parameter],
    kernels: CudaKernels,
) -> Pass:
    arrivals: list[Arrival] = []
    with FlopCount() as flops, LiveMemory(known) as memory:

        def arrive(parameter: torch.Tensor) -> None:
            peak = memory.recent_peak()
            parameter.grad = None
            arrivals.append(Arrival(parameter.numel(), parameter.nbytes, peak, memory.now))

        handles = [parameter.register_post_accumulate_grad_hook(arrive) for parameter in trained]
        try:
            with kernels:
                loss = objective(batch.to("meta"), temporal=True).mean
            forward, kept = memory.recent_peak(), memory.now
            loss.backward()
        finally:
            for handle in handles:
                handle.remove()
    return Pass(len(batch), forward, kept, tuple(arrivals), flops.total)


def sample_batch(config: RunConfig, samples: int, *, encoded: bool) -> Batch:
    """A batch of the sizes that the loader gives."""
    model, images = config.model, config.data.sampling.images_only
    frames = 1 if images else model.frames
    cells = (samples, frames, 2, model.codec.channels, *model.latent_size)
    pixels = (samples, 1 if encoded else frames, 3, model.height, model.width)
    return Batch(
        pixels=torch.zeros(pixels, dtype=torch.uint8, device="meta"),
        captions=["a dog runs"] * samples,
        fps=torch.ones(samples),
        condition_index=torch.zeros(samples, dtype=torch.int64),
        drop_text=torch.zeros(samples, dtype=torch.bool),
        drop_image=torch.zeros(samples, dtype=torch.bool),
        seed=torch.arange(samples),
        keys=[str(number) for number in range(samples)],
        latents=torch.zeros(cells, dtype=torch.float16, device="meta") if encoded else None,
        text=torch.zeros(samples, TOKENS, model.unet.context_dim, dtype=torch.float16) if encoded else None,
    )


def encoding_flops(config: RunConfig) -> int:
    """Operations of encoding the frames of one clip; 0 for a codec without weights."""
    codec = animator_on_meta(config.model).codec
    frames = 1 if config.data.sampling.images_only else config.model.frames
    pixels = torch.zeros(frames, 3, config.model.height, config.model.width, device="meta")
    with FlopCount() as flops:
        codec.posterior(pixels)
    return flops.total
