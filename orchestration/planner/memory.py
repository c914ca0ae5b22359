"""The memory that a training process needs of its GPU, by what is in it.

States are counted by the rules of DeepSpeed 0.19.8 (``runtime/zero/stage_1_and_2.py``, ``stage3.py``);
activations come from the rehearsal in :mod:`passes`. A test compares a step of ZeRO stage 2 with the one that
was measured on a GPU. A step has its peak in the forward pass, in the backward pass, where gradients are
reduced in buckets, or in the optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from orchestration.planner.passes import Pass
from orchestration.planner.sizes import Sizes
from training.config import RunConfig

GIB = 1 << 30
# What torch does not count: CUDA's context, its libraries' workspaces and NCCL's buffers, as a rule of thumb.
CONTEXT_BYTES = int(1.5 * GIB)
# Freed blocks of the wrong size: the share of a GPU that plans use.
USABLE = 0.95
# DeepSpeed's defaults, in numbers of weights.
REDUCE_BUCKET = 500_000_000
LIVE_PARAMETERS = 1_000_000_000 + 50_000_000  # stage3_max_live_parameters and the prefetch bucket
SUB_GROUP = 1_000_000_000
_FP32, _HALF = 4, 2

When = Literal["forward pass", "backward pass", "optimizer step"]


@dataclass(frozen=True)
class Layout:
    """How a run distributes its state: the settings that decide memory, and not what is learned."""

    processes: int
    zero_stage: int
    passes: int
    half_weights: bool
    autocast: bool
    fp32_gradients: bool
    averaged: bool
    offload_optimizer: bool = False
    offload_parameters: bool = False
    adapter: bool = False
    moments_8bit: bool = False

    @classmethod
    def of(cls, config: RunConfig, processes: int, passes: int) -> Layout:
        """That of a configuration on so many processes."""
        train = config.train
        return cls(
            processes=processes,
            zero_stage=train.zero_stage,
            passes=passes,
            half_weights=train.precision in ("bf16", "fp16"),
            autocast=train.precision == "autocast-bf16",
            fp32_gradients=train.gradient_precision == "fp32" or train.precision == "fp32",
            averaged=train.ema_decay is not None,
            offload_optimizer=train.offload_optimizer,
            offload_parameters=train.offload_parameters,
            adapter=train.adapter is not None,
            moments_8bit=config.optimizer.kind == "adamw_8bit",
        )

    @property
    def weight_bytes(self) -> int:
        """Of a weight that layers compute with."""
        return _HALF if self.half_weights else _FP32

    @property
    def gradient_bytes(self) -> int:
        """Of a value in the sum over passes and processes."""
        return _FP32 if self.fp32_gradients or not self.half_weights else _HALF

    def share(self, numel: int) -> int:
        """Of so many weights, those of one process."""
        return -(-numel // self.processes)


@dataclass(frozen=True)
class Memory:
    """Bytes on the device of one process at the step's peak.

    Attributes:
        weights: of the network, with what is gathered of it at a time under ZeRO stage 3.
        masters, moments, average: this process's states, in fp32 except for moments of 8 bits; 0 in host
            memory.
        frozen_models: encoders and codec, as far as steps need them.
        gradients: summed ones, and DeepSpeed's buckets.
        activations: activations and temporaries.
        when: the peak is.
        host: bytes in host memory of what is offloaded.
    """

    weights: int
    masters: int
    moments: int
    average: int
    frozen_models: int
    gradients: int
    activations: int
    when: When
    host: int

    @property
    def allocated(self) -> int:
        """All that torch allocates."""
        states = self.weights + self.masters + self.moments + self.average + self.frozen_models
        return states + self.gradients + self.activations

    @property
    def total(self) -> int:
        """With CUDA's context and libraries."""
        return self.allocated + CONTEXT_BYTES

    def fits(self, device_bytes: float) -> bool:
        """Whether a device of this size has room for it."""
        return self.total <= USABLE * device_bytes


@dataclass(frozen=True)
class _Moment:
    """Bytes of gradients and of activations at one moment of a step."""

    when: When
    gradients: int
    activations: int


def step_memory(sizes: Sizes, layout: Layout, work: Pass) -> Memory:
    """The memory of a step of a process whose passes are like ``work``."""
    peak = max(_moments(sizes, layout, work), key=lambda moment: moment.gradients + moment.activations)
    part = layout.share(sizes.trained_total) if layout.zero_stage else sizes.trained_total
    on_device = 0 if layout.offload_optimizer else 1
    masters = _FP32 * part if layout.zero_stage else 0
    moments = sizes.moments_8bit if layout.moments_8bit else 2 * _FP32 * part
    average = _FP32 * part if layout.averaged else 0
    weights, weights_on_host = _weights(sizes, layout)
    offloaded = masters + moments + average + layout.weight_bytes * part if layout.offload_optimizer else 0
    return Memory(
        weights=weights,
        masters=on_device * masters,
        moments=on_device * moments,
        average=on_device * average,
        frozen_models=sizes.frozen_models_bytes,
        gradients=peak.gradients,
        activations=peak.activations,
        when=peak.when,
        host=offloaded + weights_on_host + work.host,
    )


def _weights(sizes: Sizes, layout: Layout) -> tuple[int, int]:
    """Bytes of weights on the device, and in host memory."""
    whole = layout.weight_bytes * sizes.network_total
    if layout.zero_stage < 3:
        return whole, 0
    gathered = layout.weight_bytes * min(sizes.network_total, LIVE_PARAMETERS)
    share = layout.weight_bytes * layout.share(sizes.network_total)
    return (gathered, share) if layout.offload_parameters else (gathered + share, 0)


def _moments(sizes: Sizes, layout: Layout, work: Pass) -> Iterator[_Moment]:
    """The moments that can be a step's peak; a step of several passes has it in the last one."""
    gradients = _Gradients(sizes, layout)
    casts = _HALF * sizes.network_total if layout.autocast else 0
    yield _Moment("forward pass", gradients.before(), work.forward + casts)
    arrived = since = 0
    for arrival in work.arrivals:
        if since + arrival.numel > REDUCE_BUCKET:
            yield _Moment("backward pass", gradients.reducing(arrived, since), arrival.live + casts)
            since = 0
        yield _Moment("backward pass", gradients.during(arrived, since), arrival.peak + casts)
        arrived, since = arrived + arrival.numel, since + arrival.numel
    left = work.arrivals[-1].live if work.arrivals else 0
    yield _Moment("backward pass", gradients.reducing(arrived, since), left)
    yield _Moment("optimizer step", gradients.stepping(), 0)


class _Gradients:
    """Bytes of summed gradients and of DeepSpeed's buckets at the moments of a step."""

    def __init__(self, sizes: Sizes, layout: Layout) -> None:
        self._all, self._layout = sizes.trained_total, layout
        self._largest = sizes.largest
        stage, value = layout.zero_stage, layout.gradient_bytes
        self._part = layout.share(self._all) if stage else self._all
        # Half weights with fp32 gradients are summed in one flat tensor of this process's part; otherwise the
        # sums of earlier passes and the newest gradients are two.
        self._flat = layout.half_weights and layout.fp32_gradients
        self._sum = value * self._part
        # See training.backends.deepspeed_config: of a run with an adapter no larger than what it trains.
        bucket = min(REDUCE_BUCKET, self._all) if layout.adapter else REDUCE_BUCKET
        self._bucket = {0: 0, 1: value, 2: layout.weight_bytes, 3: value}[stage] * bucket
        self._offload_buffer = layout.weight_bytes * self._largest if layout.offload_optimizer else 0

    def before(self) -> int:
        """In the forward pass."""
        earlier = self._layout.passes > 1
        if self._layout.zero_stage == 3:
            return self._bucket + self._sum + self._offload_buffer
        if self._layout.zero_stage == 2:
            return (self._sum if earlier else 0) + self._offload_buffer
        return (self._layout.gradient_bytes * self._all if earlier else 0) + self._offload_buffer

    def during(self, arrived: int, since: int) -> int:
        """In the backward pass, when so many values have arrived, ``since`` of them since a reduction."""
        stage, value, earlier = self._layout.zero_stage, self._layout.gradient_bytes, self._layout.passes > 1
        if stage == 3:
            return self.before()
        if stage == 2:
            held = self._sum if earlier or arrived > since else 0
            twice = self._sum if earlier and not self._flat and arrived > since else 0
            return held + twice + self._bucket + self._offload_buffer
        held = value * (self._all if earlier else arrived)
        return held + self._bucket + self._offload_buffer

    def reducing(self, arrived: int, since: int) -> int:
        """While a bucket of so many values is reduced over the processes."""
        stage, value = self._layout.zero_stage, self._layout.gradient_bytes
        if stage in (0, 1):
            # All at the end of the backward pass, a bucket at a time.
            if arrived < self._all:
                return self.during(arrived, since)
            partition = self._sum if stage == 1 else 0
            return value * self._all + self._bucket + partition + value * min(self._all, REDUCE_BUCKET)
        copies = self._layout.weight_bytes * since if stage == 2 else 0
        converted = value * since if stage == 3 or value != self._layout.weight_bytes else 0
        held = self.during(arrived, 0) if stage == 2 else self.before()
        return held + copies + converted

    def stepping(self) -> int:
        """In the optimizer's step."""
        stage = self._layout.zero_stage
        if stage == 0:
            # Moments of 8 bits are computed in fp32, those of one parameter at a time.
            return self._sum + (2 * _FP32 * self._largest if self._layout.moments_8bit else 0)
        if self._layout.offload_optimizer:
            return self.before()
        if stage == 3:
            return self.before() + _FP32 * min(self._part, SUB_GROUP)
        if self._flat:
            return self._sum
        # The list of gradients, its flat copy, and that in fp32.
        converted = 0 if self._layout.gradient_bytes == _FP32 else _FP32 * self._part
        return 2 * self._sum + converted
