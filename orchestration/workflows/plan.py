"""What a run needs, before it is started: memory of each GPU, time, cost, data, and settings that fit."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from models.network.settings import ActivationCheckpointing
from orchestration.devices import default_preset
from orchestration.planner.candidates import SCOPES, Candidate, Choices
from orchestration.planner.memory import GIB
from orchestration.planner.passes import Pass, encoding_flops, rehearse
from orchestration.planner.rates import (
    Speed,
    decode_rate,
    former_run,
    given_speed,
    measured_speed,
)
from orchestration.planner.sizes import Sizes, sizes_of
from training.batch_shares import batch_shares
from training.config import RunConfig, resolve
from training.stages import STAGES

_DAY_S = 86_400
_MEASURED_BATCHES, _SAMPLES = 6, 4


@dataclass(frozen=True)
class PlanOptions:
    """What the user asked for.

    ``gpus``: processes with one GPU each; ``launch.workers`` if None. ``gpu_memory``: GiB of one. ``price``:
    of a GPU for an hour. ``rate``: clips that a GPU trains on in a second; ``like``: the folder of a run to
    take it from; figures of one H100 if both are None. ``decode_rate``: clips that a core decodes in a
    second; measured on ``data``, if given.
    """

    stage: int
    preset: str | None = None
    gpus: int | None = None
    gpu_memory: float = 80.0
    price: float | None = None
    sets: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    data: str | None = None
    rate: float | None = None
    like: Path | None = None
    decode_rate: float | None = None


@dataclass(frozen=True)
class Supply:
    """Whether data keeps up.

    Attributes:
        needed: clips/s that each process needs.
        per_core: clips/s that a core decodes, and ``source`` of the figure.
        threads: of each process that are needed; None where the speed of training is unknown.
        configured: ``data.threads``.
    """

    needed: float | None
    per_core: float
    source: str
    threads: int | None
    configured: int


@dataclass(frozen=True)
class Estimate:
    """The whole run with one choice of settings; times and cost are None where no rate is known."""

    choice: Candidate
    step_flops: float
    days: float | None
    cost: float | None
    supply: Supply


@dataclass(frozen=True)
class Plan:
    """What a run needs.

    Attributes:
        configured: with the settings as they are.
        recommended: with those that are the fastest of what fits; None where nothing fits.
        assignments: that ``animatic train --set`` takes for ``recommended``.
        table: candidates without offload of one sample a pass, by ZeRO stage and recomputation.
    """

    config: RunConfig
    gpus: int
    gpu_memory: float
    sizes: Sizes
    configured: Estimate
    recommended: Estimate | None
    assignments: list[str]
    table: list[Candidate]

    @property
    def title(self) -> str:
        """The run in words."""
        stage, config = STAGES[self.config.stage], self.config
        gpus = f"{self.gpus} GPU{'' if self.gpus == 1 else 's'} of {self.gpu_memory:g} GiB"
        return f"stage {config.stage} ({stage.name}), preset {config.preset}, {gpus}"

    @property
    def fits(self) -> bool:
        """Whether the configuration as it is fits the GPUs."""
        return self.configured.choice.memory.fits(self.gpu_memory * GIB)


def plan_run(options: PlanOptions) -> Plan:
    """Compute the plan; nothing is read but the configuration, a former run's journal and samples of data.

    Raises:
        AnimaticError: an unknown preset or key, a value that does not fit, a batch that the GPUs cannot
            share, a former run without figures, or a dataset that cannot be read.
    """
    _check_numbers(options)
    values = {"data.dataset": options.data} if options.data is not None else {}
    preset = options.preset or default_preset()
    config = resolve(options.stage, preset, options.sets, options.files, values)
    gpus = options.gpus or config.launch.workers
    _check_shares(options, config, gpus)
    former = None if options.like is None else former_run(options.like)
    decoding = _decoding(options, config)
    largest, batch = _largest_bucket(config)
    # What is not recomputed is not offloaded either.
    scopes = [scope for scope in SCOPES if scope != "none" or not config.train.offload_activations]
    works = {scope: _rehearsed(largest, scope) for scope in scopes}
    encoding = 0 if config.data.latents else encoding_flops(largest)
    sizes = sizes_of(config)
    speeds = _Speeds(options, config, gpus, encoding, former)
    choices = Choices(config, gpus, sizes, works, batch, speeds.of)
    configured = choices.configured()
    best = choices.best(options.gpu_memory * GIB)

    def estimate(choice: Candidate) -> Estimate:
        return _estimate(choice, choices, options.price, decoding)

    recommended = None if best is None else estimate(best)
    return Plan(
        config=config,
        gpus=gpus,
        gpu_memory=options.gpu_memory,
        sizes=sizes,
        configured=estimate(configured),
        recommended=recommended,
        assignments=[] if recommended is None else _assignments(config, gpus, recommended),
        table=[choices.candidate(stage, scope, 1) for stage in choices.zero_stages() for scope in works],
    )


class _Speeds:
    """The time of a step, by the user's rate, that of a former run, or measured figures."""

    def __init__(
        self,
        options: PlanOptions,
        config: RunConfig,
        gpus: int,
        encoding: int,
        former: tuple[RunConfig, float] | None,
    ) -> None:
        self._rate, self._clips = options.rate, config.train.global_batch // gpus
        self._encoding = encoding
        # Figures of a GPU say nothing of processes on CPUs; `--gpus` names GPUs.
        self._known = config.launch.gpus_per_worker == 1 or options.gpus is not None
        self._former: tuple[float, str] | None = None
        if former is not None:
            like, rate = former
            theirs = _rehearsed(like, like.train.activation_checkpointing)
            # Clips of other sizes, or more to compute again: by the operations of a clip.
            self._former = rate * theirs.flops / theirs.samples, f"as in {options.like}, by operations"

    def of(self, scope: ActivationCheckpointing, work: Pass, passes: int) -> Speed | None:
        """Of a step of so many passes like ``work``."""
        if self._rate is not None:
            return given_speed(self._rate, self._clips)
        if self._former is not None:
            flops_per_s, source = self._former
            return Speed(passes * work.flops / flops_per_s, source)
        if not self._known:
            return None
        network = work.flops - work.samples * self._encoding
        return measured_speed(scope, network, self._encoding, work.samples, passes)


def _rehearsed(config: RunConfig, scope: ActivationCheckpointing) -> Pass:
    half = config.train.precision != "fp32"
    return rehearse(config, scope, 1, encoded=config.data.latents is not None, half=half)


def _largest_bucket(config: RunConfig) -> tuple[RunConfig, int]:
    """The configuration with clips of the bucket whose batch has the most pixels, and that batch."""
    model, batch = config.model, config.train.global_batch
    if not config.data.buckets:
        return config, batch
    bucket = max(
        config.data.buckets,
        key=lambda each: each.height * each.width * each.frames * (each.batch or batch),
    )
    size = {"height": bucket.height, "width": bucket.width, "frames": bucket.frames}
    changed = config.model_copy(update={"model": model.model_copy(update=size)})
    return changed, bucket.batch or batch


def _decoding(options: PlanOptions, config: RunConfig) -> tuple[float, str]:
    """Clips that a core decodes in a second, and where the figure comes from."""
    if options.decode_rate is not None:
        return options.decode_rate, "from --decode-rate"
    if config.data.dataset is not None:
        return _measured_decoding(config), f"measured on this machine with {config.data.dataset}"
    return decode_rate(config), "as measured for clips of these sizes"


def _measured_decoding(config: RunConfig) -> float:
    """By processor time over all threads of the loader. Raises AnimaticError as opening the dataset does."""
    from training.batch_source import DatasetSource

    batches = DatasetSource(config).batches(0, 1, 0, _SAMPLES)
    next(batches)  # opens files
    began = time.process_time()
    samples = sum(len(next(batches)) for _ in range(_MEASURED_BATCHES))
    return samples / max(time.process_time() - began, 1e-6)


def _estimate(
    choice: Candidate, choices: Choices, price: float | None, decoding: tuple[float, str]
) -> Estimate:
    config, speed = choices.config, choice.speed
    passes = choices.share // choice.micro_batch
    work = choices.work(choice)
    days = None if speed is None else config.train.steps * speed.step_s / _DAY_S
    per_core, source = decoding
    needed = None if speed is None else choices.share / speed.step_s
    return Estimate(
        choice=choice,
        step_flops=float(work.flops) * passes * choices.processes,
        days=days,
        cost=None if days is None or price is None else days * 24 * choices.processes * price,
        supply=Supply(
            needed=needed,
            per_core=per_core,
            source=source,
            threads=None if needed is None else max(1, math.ceil(needed / per_core)),
            configured=config.data.threads,
        ),
    )


def _assignments(config: RunConfig, gpus: int, recommended: Estimate) -> list[str]:
    """What changes of the configuration, as ``--set`` takes it."""
    wanted = {"launch.workers": gpus, "launch.gpus_per_worker": 1, **recommended.choice.settings}
    threads = recommended.supply.threads
    if threads is not None and threads > config.data.threads:
        wanted["data.threads"] = threads

    def current(name: str) -> object:
        section, _, field = name.partition(".")
        return getattr(getattr(config, section), field)

    return [f"{name}={json.dumps(value)}" for name, value in wanted.items() if current(name) != value]


def _check_shares(options: PlanOptions, config: RunConfig, gpus: int) -> None:
    """Raise AnimaticError where the processes cannot share the batch evenly."""
    batch = config.train.global_batch
    if options.gpus is not None and batch % gpus:
        raise AnimaticError(
            f"--gpus {gpus} cannot share train.global_batch {batch} evenly: choose a divisor of it, or set "
            "another batch"
        )
    batch_shares(config, gpus)


def _check_numbers(options: PlanOptions) -> None:
    named = {
        "--gpu-memory": options.gpu_memory,
        "--price": options.price,
        "--rate": options.rate,
        "--decode-rate": options.decode_rate,
    }
    for name, value in named.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise AnimaticError(f"{name} {value} is not a number above 0")
    if options.rate is not None and options.like is not None:
        raise AnimaticError("--rate and --like are two sources of one figure: give one of them")
