"""What the workers of distributed tests do: small networks, synthetic clips, real training."""

import contextlib
import itertools
import math
import os
import pkgutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import torch

from models.animator import Animator
from models.batch import Batch
from models.bundle import TrainedOn
from models.network.activation_checkpointing import in_host_memory
from models.network.attention import SpatialTransformer
from tests.support.checkpoint_states import LAYOUT, Number, open_store
from training.backends import DeepSpeedBackend, Ema
from training.checkpoints.snapshot import state_of
from training.clock import StepClock
from training.config import RunConfig, dump_yaml, load, resolve
from training.control import StoppedBySignal
from training.initialisation import initialise
from training.loop import train
from training.objectives import build_objective
from training.objectives.denoising import DenoisingObjective
from training.processes.group import join_process_group
from training.trainable import trainable_names
from training.validation import samples

SMALL = (
    "model.frames=3",
    "model.height=64",
    "model.width=64",
    "model.unet.model_channels=32",
    "model.unet.channel_mult=[1,2]",
    "model.unet.num_head_channels=16",
    "model.unet.norm_groups=8",
    "model.unet.attention_resolutions=[2]",
    "model.unet.context_dim=32",
    "model.unet.dropout=0.1",
    "model.context={dim: 32, depth: 1, heads: 2, dim_head: 16, queries: 4, image_dim: 32, context_dim: 32}",
    "model.encoders.text={width: 32, layers: 2, heads: 2}",
    "model.encoders.image={width: 32, layers: 1, heads: 2, patch_size: 16, image_size: 32}",
    "model.codec.patch=8",
    "optimizer.lr=1e-3",
    "optimizer.warmup_steps=2",
    "train.steps=3",
    "train.condition_from_base=false",
    "train.global_batch=4",
    "train.log_every=1",
    "train.precision=fp32",
    "train.ema_decay=null",
    "train.bundle_dtype=fp32",
    "validation.every=0",
    "validation.loss_every=0",
    "validation.count=1",
    "validation.sampling.steps=2",
    "train.checkpoint_every=100",
    "init.base=null",
)
# All kinds of blocks, but fewer layers: for what takes long in each, as bf16 on CPUs.
# An eps far above the gradients: AdamW's first step moves the weights by lr / eps = 1 times the gradient.
BY_THE_GRADIENT = (
    "optimizer.lr=1e4",
    "optimizer.eps=1e4",
    "optimizer.weight_decay=0",
    "optimizer.warmup_steps=0",
    "optimizer.grad_clip=0",
    "model.unet.dropout=0",
    "train.image_batches=0",
)
FEWER_LAYERS = ("model.unet.channel_mult=[1]", "model.unet.attention_resolutions=[1]")


def write_config(config: RunConfig, path: Path) -> str:
    """Put a configuration where workers find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_yaml(config))
    return str(path)


def small_config(stage: int, *sets: str) -> RunConfig:
    """Preset tiny, smaller: 8x8 latents, 32 channels, one layer of P."""
    return resolve(stage, "tiny", [*_for_stage(stage), *sets])


def _for_stage(stage: int) -> list[str]:
    if stage == 0:
        return [item for item in SMALL if not item.startswith("model.context=")]
    return [*SMALL, "train.image_batches=0"]


class SyntheticSource:
    """Clips drawn from their number in the global order; ``bad_steps`` get a frame rate of NaN.

    ``bad_rounds``: of the data, in which they are bad, from the first on. The numbers of a round are a
    million higher than those of the one before.
    """

    def __init__(self, config: RunConfig, bad_steps: tuple[int, ...] = (), bad_rounds: int = 1) -> None:
        self.digest = "synthetic"
        self.datasets: Sequence[TrainedOn] = ()
        self.failures = 0
        self._config, self._bad, self._bad_rounds = config, bad_steps, bad_rounds

    def batches(
        self, rank: int, world_size: int, position: int, global_batch: int, data_round: int = 0
    ) -> Iterator[Batch]:
        for number in itertools.count(position):
            rows = range(number * global_batch + rank, (number + 1) * global_batch, world_size)
            bad = number + 1 in self._bad and data_round < self._bad_rounds
            yield self.samples([row + 1_000_000 * data_round for row in rows], math.nan if bad else 8.0)

    def first(self, count: int) -> Batch:
        return self.samples(list(range(count)))

    def size(self) -> int:
        """As good as endless."""
        return 1 << 20

    def check_encoders(self, animator: Animator) -> None:
        """Its batches contain pixels alone."""

    def samples(self, rows: list[int], fps: float = 8.0) -> Batch:
        """The samples of these numbers."""
        sampling = self._config.data.sampling
        frames = 1 if sampling.images_only else sampling.frames
        shape = (frames, 3, sampling.height, sampling.width)
        draws = [torch.Generator().manual_seed(row) for row in rows]
        chance = torch.stack([torch.rand(2, generator=draw) for draw in draws])
        return Batch(
            pixels=torch.stack([torch.randint(0, 256, shape, generator=g, dtype=torch.uint8) for g in draws]),
            captions=[f"a ball number {row}" for row in rows],
            fps=torch.full((len(rows),), fps),
            condition_index=torch.tensor([row % frames for row in rows]),
            drop_text=chance[:, 0] < 0.1,
            drop_image=chance[:, 1] < 0.1,
            seed=torch.tensor(rows),
            keys=[f"clip-{row}" for row in rows],
        )


class Interruption(Exception):
    """Ends a run from outside, as a failing machine would."""


def run_stage(config_path: str, run_dir: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train to the bundle, on synthetic clips where no dataset is named.

    Options: ``bad_steps`` and ``bad_rounds`` (of the data, in which they are bad), ``stop_after`` (a step to
    be interrupted at), ``wait_after`` (a step to be killed after: it waits when the run folder has a file
    ``waiting``), ``signal_after`` (rank, step, signal and how often: the process sends it to itself),
    ``signal_in`` (rank and a function, as ``module.name``, whose first call begins with SIGTERM to its own
    process), ``failing`` (such a function, whose first call in the process ``failing_rank`` raises),
    ``digest`` (of the data), ``begun`` (a file that exists once a step is done), ``record_samples`` (True
    puts the weights that samples are drawn from into ``drawn.pt``).
    """
    options = options or {}
    config = load(Path(config_path))
    synthetic = SyntheticSource(config, tuple(options.get("bad_steps", ())), options.get("bad_rounds", 1))
    losses: dict[int, float | None] = {}

    def on_progress(step: int, _: int, metrics: Any) -> None:
        loss = metrics.get("train/loss", math.nan)  # none before the first report
        losses[step] = loss if math.isfinite(loss) else None
        if "begun" in options:
            Path(options["begun"]).touch()
        if step == options.get("stop_after"):
            raise Interruption(f"at step {step}")
        if step == options.get("wait_after"):
            if os.environ["RANK"] == "0":  # whose journal is complete by now
                (Path(run_dir) / "waiting").touch()
            threading.Event().wait()
        rank, signalled, number, times = options.get("signal_after", (None, None, None, 0))
        if step == signalled and os.environ["RANK"] == str(rank):
            for _ in range(times):
                os.kill(os.getpid(), number)

    if "digest" in options:
        synthetic.digest = options["digest"]
    with _failing(options), _signalling(options), _recording_samples(options, Path(run_dir)):
        try:
            result = train(
                config,
                Path(run_dir),
                source=synthetic if config.data.dataset is None else None,
                on_progress=on_progress,
            )
        except StoppedBySignal as stop:
            return {"exit_code": stop.code, "message": str(stop), "losses": losses}
    return {"id": result.bundle_id, "resumed_from": result.resumed_from, "losses": losses}


def _signalling(options: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    rank, name = options.get("signal_in", (None, ""))
    if os.environ["RANK"] != str(rank):
        return contextlib.nullcontext()
    real = pkgutil.resolve_name(name)
    calls = itertools.count()

    def signalling(*args: Any, **named: Any) -> Any:
        if next(calls) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **named)

    return patch(name, signalling)


def _failing(options: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    if "failing" not in options:
        return contextlib.nullcontext()
    # In every process: where the name is wrong, none waits for one that has ended.
    real = pkgutil.resolve_name(options["failing"])
    if os.environ["RANK"] != str(options["failing_rank"]):
        return contextlib.nullcontext()
    calls = itertools.count()

    def failing(*args: Any, **named: Any) -> Any:
        if next(calls) == 0:
            raise KeyError("out of luck")
        return real(*args, **named)

    return patch(options["failing"], failing)


def _recording_samples(options: dict[str, Any], run_dir: Path) -> contextlib.AbstractContextManager[Any]:
    if not options.get("record_samples"):
        return contextlib.nullcontext()
    real = samples.animate

    def recording(sampler: Animator, *args: Any) -> Any:
        torch.save(dict(sampler.network.named_parameters()), run_dir / "drawn.pt")
        return real(sampler, *args)

    return patch.object(samples, "animate", recording)


def follow_backend(config_path: str, steps: int, fp16: bool = False) -> dict[str, Any]:
    """Some steps with a backend of its own, with the whole weights after each as rank 0 gathers them.

    The average is computed twice: sharded as in training, and whole, from the gathered weights. ``fp16``:
    whether the processor reports support, which DeepSpeed asks for but does not need.
    """
    # Imported as late as the backend imports it: the choice of accelerator is read at that moment.
    from deepspeed.accelerator import get_accelerator

    config = load(Path(config_path))
    group = join_process_group(gpu=False)
    animator, start = initialise(config)
    with patch.object(get_accelerator(), "is_fp16_supported", return_value=fp16):
        backend = DeepSpeedBackend(
            animator,
            DenoisingObjective(animator),
            trainable_names(config, list(start.weights)),
            start.weights,
            config,
            group,
        )
    ema = Ema(backend.fragments(), 0.9)
    begun = backend.gather()
    whole = {name: value.clone() for name, value in begun.items()}
    batches = SyntheticSource(config).batches(group.rank, group.size, 0, config.train.global_batch)
    transformer = next(m for m in animator.network.unet.modules() if isinstance(m, SpatialTransformer))
    transformer.norm.register_forward_hook(lambda *_: layer_passes.append(1))
    losses, gathered, layer_passes = [], begun, list[int]()
    for step in range(1, steps + 1):
        losses.append(float(backend.train_step(next(batches), step).loss))
        ema.update(backend.fragments(), step)
        gathered = backend.gather()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in whole.items():
            value.lerp_(gathered[name], 1 - decay)
    averaged = backend.gather(ema.values)
    return {
        "losses": losses,
        "layer_passes": len(layer_passes),
        "starts_exactly": all(torch.equal(value, start.weights[name]) for name, value in begun.items()),
        "trained": len(gathered),
        "scalars": sum(value.dim() == 0 for value in gathered.values()),
        "changed": sum(not torch.equal(value, begun[name]) for name, value in gathered.items()),
        "average_error": max(
            [float((averaged[name] - value).abs().max()) for name, value in whole.items()], default=0.0
        ),
        "average_moved": any(not torch.equal(averaged[name], begun[name]) for name in averaged),
    }


def save_with_lagging_view(root: str, lagging_rank: int) -> str:
    """Save a checkpoint while one process lists no file of the other -> its folder's name."""
    group = join_process_group(gpu=False)
    hidden, real = f"rank-{1 - lagging_rank:05d}.safetensors", Path.rglob

    def lagging(self: Path, pattern: str) -> Iterator[Path]:
        return (path for path in real(self, pattern) if path.name != hidden)

    with contextlib.ExitStack() as stack:
        if group.rank == lagging_rank:
            stack.enter_context(patch.object(Path, "rglob", lagging))
        store = open_store(Path(root), keep=1, group=group, layout=LAYOUT._replace(world_size=2))
        return store.save(3, state_of([Number(rank=group.rank, size=2)])).path.name


def drive_backend(
    config_path: str,
    rows: list[list[int]],
    steps: list[int],
    compiler: str | None = None,
    bad_steps: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Steps of these numbers, each with the same samples, of a network with drawn weights.

    ``rows``: the samples of each process. ``compiler``: backend of torch.compile; None does not compile, but
    counts. ``bad_steps``: whose loss is NaN in the last process.

    Returns losses, gradient norms, learning rates and whether the step was applied, by step; by how much the
    first step moved all weights, flat, in the first process; how often functions were called that should be
    compiled, and blocks whose inputs should be kept in host memory.
    """
    kept = Mock(side_effect=in_host_memory)
    with _compiling(compiler) as called, patch("training.backends.deepspeed.in_host_memory", kept):
        found = _drive_backend(load(Path(config_path)), rows, steps, bad_steps)
    return {**found, "compiled": dict(called), "kept": kept.call_count}


@contextlib.contextmanager
def _compiling(backend: str | None) -> Iterator[Counter[str]]:
    """Inside, torch.compile uses this backend, or calls the functions as they are."""
    called: Counter[str] = Counter()
    compile_function = torch.compile

    def compiled(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
        chosen = compile_function(function, **{**settings, "backend": backend}) if backend else function

        def call(*args: Any, **named: Any) -> Any:
            called[function.__qualname__] += 1
            return chosen(*args, **named)

        return call

    try:
        with patch("torch.compile", compiled):
            yield called
    finally:
        if backend:
            torch.compiler.reset()


def _drive_backend(
    config: RunConfig, rows: list[list[int]], steps: list[int], bad_steps: tuple[int, ...]
) -> dict[str, Any]:
    group = join_process_group(gpu=False)
    animator, start = initialise(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in animator.network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    weights = {name: value.detach().clone() for name, value in animator.network.named_parameters()}
    trainable = trainable_names(config, list(start.weights))
    objective = build_objective(config, animator, StepClock())
    backend = DeepSpeedBackend(animator, objective, trainable, weights, config, group)
    good, bad = (SyntheticSource(config).samples(rows[group.rank], fps) for fps in (8.0, math.nan))
    batches = [bad if step in bad_steps and group.rank == group.size - 1 else good for step in steps]
    results = [backend.train_step(batches[0], steps[0])]
    moved = [(value - weights[name]).flatten() for name, value in backend.gather().items()]
    results += [backend.train_step(batch, step) for batch, step in zip(batches[1:], steps[1:], strict=True)]
    return {
        "losses": [float(result.loss) for result in results],
        "norms": [result.grad_norm for result in results],
        "rates": [result.learning_rate for result in results],
        "applied": [result.applied for result in results],
        "moved": torch.cat(moved).numpy() if moved else None,
    }
