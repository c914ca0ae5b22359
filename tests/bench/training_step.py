"""Whole training steps of stage 3 at the published sizes on a GPU: encoders, network, optimizer, memory."""

import math
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.animator import Animator
from models.architecture import CodecConfig, EncoderConfig, TowerConfig
from models.batch import Batch
from models.encoders.vae import build_vae, to_ldm
from tests.bench.networks import draw_weights
from tests.bench.timing import MIB, Result, Row, clock_name, stopwatch
from training.backends import DeepSpeedBackend
from training.config import RunConfig, resolve
from training.objectives.denoising import DenoisingObjective
from training.processes.group import ProcessGroup, join_process_group
from training.trainable import trainable_names

PRESETS = ("256", "512", "1024")
VIT_H = EncoderConfig(
    kind="random",
    text=TowerConfig(width=1024, layers=24, heads=16),
    image=TowerConfig(width=1280, layers=32, heads=16, patch_size=14, image_size=224),
)


def training_steps(rounds: int) -> list[Result]:
    """A table per published size; skipped without a GPU."""
    if not torch.cuda.is_available():
        return [Result("training-step", "published sizes, stage 3", skipped="no CUDA device")]
    # Each in a process of its own: DeepSpeed keeps what it allocated until its process ends.
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool,
    ):
        autoencoder = _random_autoencoder(Path(folder) / "vae.safetensors")
        jobs = [
            pool.submit(measure_steps, preset, _config(preset, autoencoder), rounds) for preset in PRESETS
        ]
        return [job.result() for job in jobs]


def measure_steps(name: str, config: RunConfig, rounds: int) -> Result:
    """Steps of one clip on one GPU, from stored latents and from pixels."""
    rows: list[Row] = []
    try:
        backend = _backend(config, join_process_group(gpu=True))
        for source, batch in (("stored latents", _batch(config, True)), ("pixels", _batch(config, False))):
            rows.append(_row(source, _step(backend, batch), rounds, rows[0].seconds if rows else None))
    except torch.OutOfMemoryError:
        rows.append(Row("out of memory", math.nan, math.nan))
    train = config.train
    title = f"preset {name}, stage 3, 1 clip, {train.precision}, ZeRO {train.zero_stage}, one GPU"
    return Result(f"training-step-{name}", title, clock_name("cuda"), rows)


def _row(source: str, work: Callable[[], Tensor], rounds: int, base: float | None) -> Row:
    work()
    torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(stopwatch(work, "cuda")[0] for _ in range(rounds))
    return Row(
        source, seconds, base / seconds if base else 1.0, peak_mib=torch.cuda.max_memory_allocated() / MIB
    )


def _config(preset: str, autoencoder: Path) -> RunConfig:
    sets = ["train.global_batch=1", "train.micro_batch=1", "launch.workers=1", "launch.gpus_per_worker=1"]
    config = resolve(3, preset, [*sets, "train.image_batches=0"])
    codec = CodecConfig(kind="vae", path=str(autoencoder), decode_tile=config.model.codec.decode_tile)
    model = config.model.model_copy(update={"encoders": VIT_H, "codec": codec})
    return config.model_copy(update={"model": model})


def _random_autoencoder(path: Path) -> Path:
    vae = build_vae(CodecConfig())
    for module in vae.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    save_file({name: tensor.contiguous() for name, tensor in to_ldm(vae).items()}, path)
    return path


def _backend(config: RunConfig, group: ProcessGroup) -> DeepSpeedBackend:
    animator = Animator(config.model)
    animator.to("cuda")
    draw_weights(animator.network.unet)
    weights = {name: value.detach().cpu() for name, value in animator.network.named_parameters()}
    names = trainable_names(config, list(weights))
    return DeepSpeedBackend(animator, DenoisingObjective(animator), names, weights, config, group)


def _step(backend: DeepSpeedBackend, batch: Batch) -> Callable[[], Tensor]:
    return lambda: backend.train_step(batch, 1).loss


def _batch(config: RunConfig, encoded: bool) -> Batch:
    """One clip of noise; ``encoded``: with stored latents and text, and the condition frame's pixels."""
    model = config.model
    shape = (1, 1 if encoded else model.frames, 3, model.height, model.width)
    cells = (1, model.frames, 2, model.codec.channels, *model.latent_size)
    return Batch(
        pixels=torch.randint(0, 256, shape, dtype=torch.uint8),
        captions=["a dog runs"],
        fps=torch.full((1,), 8.0),
        condition_index=torch.zeros(1, dtype=torch.int64),
        drop_text=torch.tensor([False]),
        drop_image=torch.tensor([False]),
        seed=torch.tensor([7]),
        keys=["clip"],
        latents=torch.rand(cells).half() if encoded else None,
        text=torch.randn(1, 77, model.unet.context_dim).half() if encoded else None,
    )
