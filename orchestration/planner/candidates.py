"""The settings that decide memory and speed, and which of them fit a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from models.network.settings import ActivationCheckpointing
from orchestration.planner.memory import Layout, Memory, step_memory
from orchestration.planner.passes import Pass
from orchestration.planner.rates import Speed
from orchestration.planner.sizes import Sizes
from training.batch_shares import batch_shares
from training.config import RunConfig

LARGEST_MICRO_BATCH = 16
SCOPES: tuple[ActivationCheckpointing, ...] = get_args(ActivationCheckpointing)


@dataclass(frozen=True)
class Candidate:
    """One choice of settings, with what it needs; ``speed``: None where no rate is known."""

    zero_stage: int
    activation_checkpointing: ActivationCheckpointing
    micro_batch: int
    offload_optimizer: bool
    offload_parameters: bool
    memory: Memory
    speed: Speed | None
    offload_activations: bool = False

    @property
    def settings(self) -> dict[str, object]:
        """By dotted name, those that differ between candidates."""
        return {
            "train.zero_stage": self.zero_stage,
            "train.activation_checkpointing": self.activation_checkpointing,
            "train.micro_batch": self.micro_batch,
            "train.offload_optimizer": self.offload_optimizer,
            "train.offload_parameters": self.offload_parameters,
        }


SpeedOf = Callable[[ActivationCheckpointing, Pass, int], Speed | None]


@dataclass(frozen=True)
class Choices:
    """All candidates of a configuration on so many processes.

    Attributes:
        works: a pass of one sample for each kind of recomputation.
        batch: samples of the step that needs the most memory; ``train.global_batch`` without buckets.
        speed: of a step with such passes, and their number.
    """

    config: RunConfig
    processes: int
    sizes: Sizes
    works: Mapping[ActivationCheckpointing, Pass]
    batch: int
    speed: SpeedOf

    @property
    def share(self) -> int:
        """Samples of a process in each step."""
        return self.config.train.global_batch // self.processes

    def configured(self) -> Candidate:
        """That of the configuration as it is."""
        train = self.config.train
        return self.candidate(
            train.zero_stage,
            train.activation_checkpointing,
            batch_shares(self.config, self.processes).micro_batch,
            offload_optimizer=train.offload_optimizer,
            offload_parameters=train.offload_parameters,
        )

    def candidate(
        self,
        zero_stage: int,
        scope: ActivationCheckpointing,
        micro_batch: int,
        *,
        offload_optimizer: bool = False,
        offload_parameters: bool = False,
    ) -> Candidate:
        """What these settings need."""
        passes, work = self.share // micro_batch, self._work(scope, micro_batch)
        layout = replace(
            Layout.of(self.config, self.processes, passes),
            zero_stage=zero_stage,
            offload_optimizer=offload_optimizer,
            offload_parameters=offload_parameters,
        )
        return Candidate(
            zero_stage,
            scope,
            micro_batch,
            offload_optimizer,
            offload_parameters,
            step_memory(self.sizes, layout, work),
            self.speed(scope, work, passes),
            offload_activations=self.config.train.offload_activations,
        )

    def work(self, candidate: Candidate) -> Pass:
        """A pass with a candidate's settings."""
        return self._work(candidate.activation_checkpointing, candidate.micro_batch)

    def _work(self, scope: ActivationCheckpointing, micro_batch: int) -> Pass:
        # Batches of buckets are split into as many passes as the global batch is.
        return self.works[scope].of(max(1, self.batch * micro_batch // self.config.train.global_batch))

    def zero_stages(self) -> list[int]:
        """Those that the configuration allows, the configured one first."""
        train = self.config.train
        without_masters = train.precision in ("bf16", "fp16")
        allowed = [
            stage
            for stage in (0, 1, 2, 3)
            if not (stage == 0 and without_masters)
            and not (stage and self.config.optimizer.kind == "adamw_8bit")
            and not (stage == 3 and (train.image_batches or train.adapter is not None))
        ]
        return sorted(allowed, key=lambda stage: (stage != train.zero_stage, stage))

    def micro_batches(self) -> list[int]:
        """Divisors of a process's share, rising."""
        most = min(self.share, LARGEST_MICRO_BATCH)
        return [size for size in range(1, most + 1) if self.share % size == 0]

    def resident(self) -> Iterator[Candidate]:
        """All candidates without offload."""
        for stage in self.zero_stages():
            for scope in self.works:
                for micro_batch in self.micro_batches():
                    yield self.candidate(stage, scope, micro_batch)

    def offloaded(self) -> Iterator[Candidate]:
        """All candidates with the optimizer in host memory, then those with the weights there too."""
        stages = [stage for stage in self.zero_stages() if stage]
        for stage, weights in [*((stage, False) for stage in stages), *((3, True) for _ in stages[-1:])]:
            if weights and 3 not in stages:
                continue
            for scope in self.works:
                for micro_batch in self.micro_batches():
                    yield self.candidate(
                        stage, scope, micro_batch, offload_optimizer=True, offload_parameters=weights
                    )

    def best(self, device_bytes: float) -> Candidate | None:
        """The fastest candidate that fits; offload only where nothing fits without. None where none does.

        Of equally fast ones, that with the ZeRO stage of the configuration, then the lowest one: each higher
        stage communicates more.
        """
        for group in (self.resident(), self.offloaded()):
            fitting = [each for each in group if each.memory.fits(device_bytes)]
            if fitting:
                return min(fitting, key=self._preference)
        return None

    def _preference(self, candidate: Candidate) -> tuple[float, int, int, int]:
        # Without a rate: the largest micro-batch, with as little recomputation as possible.
        scope = SCOPES.index(candidate.activation_checkpointing)
        stages = self.zero_stages().index(candidate.zero_stage)
        speed = candidate.speed.step_s if candidate.speed is not None else scope - candidate.micro_batch / 100
        return speed, candidate.offload_parameters, stages, -candidate.micro_batch
