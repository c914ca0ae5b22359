"""The evaluation job: a bundle and held-out clips in, generated clips and a report out.

Clips are cut into fixed chunks; each is animated and measured by one of a few Ray actors and stored before
the next begins, so an evaluation that was interrupted continues. Noise depends on the seed and a clip's
place in the evaluation, so the report does not depend on the number of workers.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from core.config.identity import IdentityFormat
from core.config.section import Section
from core.errors import AnimaticError
from core.storage import Folder
from core.urls import absolute
from models.animate import animate
from models.animator import Animator
from models.bundle import open_bundle
from models.diffusion.settings import SamplingSettings
from models.pixels import to_signed, to_uint8
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.heldout import HeldOutSet, RealClip, open_held_out
from pipelines.evaluate.metrics import DETECTOR, caption_direction, motion_direction, psnr, travel
from pipelines.evaluate.report import build_report
from pipelines.loader.keyed_random import derive_key
from pipelines.loader.sampling import ClipSampling

Progress = Callable[[int, int], None]

# The settings that protocol.json records; the noise has the evaluation's seed.
SAMPLING = IdentityFormat(
    {
        "": (
            "steps",
            "eta",
            "text_guidance",
            "image_guidance",
            "guidance_rescale",
            "spacing",
            "fps",
            "precision",
        )
    },
    excluded={"seed"},
)


class EvaluateConfig(Section):
    """What is evaluated, on what, and how."""

    bundle: Path = Field(description="folder of the bundle")
    data: str = Field(description="held-out dataset, or a folder of NAME.mp4 with NAME.txt beside each")
    output: Path = Field(description="folder for the report and the generated clips")
    clips: int | None = Field(None, ge=1, description="how many clips, chosen by the seed; null: all")
    stride: int = Field(1, ge=1, description="distance between the real clips' frames")
    fps_condition: Literal["fps", "stride"] = Field("fps", description="as the bundle was trained")
    seed: int = Field(0, ge=0, description="of the choice of clips, their start, and the noise")
    sampling: SamplingSettings = Field(
        default_factory=SamplingSettings,
        description="its seed is unused; fps null: each clip's own",
    )
    chunk: int = Field(8, ge=1, description="clips animated as one batch")
    workers: int = Field(2, ge=1, description="Ray actors")
    gpus_per_worker: float = Field(0, ge=0, description="0: on the CPU")
    address: str | None = Field(None, description="Ray cluster; null: local Ray")


def evaluate(config: EvaluateConfig, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Animate the first frames of held-out clips and measure the results; returns the report.

    Writes ``report.json`` and ``chunks/chunk-00000.npz`` (keys; real and generated, uint8 [n t h w 3]) under
    ``config.output``. Chunks that are done already are kept. ``progress`` gets (clips done, clips).

    Raises AnimaticError if the bundle or the clips cannot be read, if there are too few clips, if the output
    folder holds another evaluation, or if the network generates pixels that are not finite.
    """
    config = _absolute(config)
    protocol, chosen = _plan(config)
    folder = Folder(config.output)
    _claim(folder, protocol)
    chunks = [chosen[start : start + config.chunk] for start in range(0, len(chosen), config.chunk)]
    done = sum(len(clips) for number, clips in enumerate(chunks) if folder.exists(_rows_name(number)))
    progress(done, len(chosen))
    missing = [number for number in range(len(chunks)) if not folder.exists(_rows_name(number))]
    for number in _animate(config, protocol, missing, chunks):
        done += len(chunks[number])
        progress(done, len(chosen))
    stored = [json.loads(folder.read(_rows_name(number))) for number in range(len(chunks))]
    report = build_report(protocol, [row for chunk in stored for row in chunk["rows"]])
    report["seconds"] = round(sum(chunk["seconds"] for chunk in stored), 3)
    content = _finite_json(report)
    if not folder.exists("report.json") or folder.read("report.json") != content:
        folder.write("report.json", content)
    return report


def _absolute(config: EvaluateConfig) -> EvaluateConfig:
    """Actors run in another working directory."""
    folders = {"bundle": config.bundle.resolve(), "output": config.output.resolve()}
    return config.model_copy(update={**folders, "data": absolute(config.data)})


def _plan(config: EvaluateConfig) -> tuple[dict[str, Any], list[int]]:
    """Everything that the figures depend on, and the numbers of the clips in order."""
    bundle, held_out = open_bundle(config.bundle), open_held_out(config.data)
    architecture = bundle.info.architecture
    if not architecture.unet.temporal:
        raise AnimaticError(
            f"bundle {config.bundle} is an image model (stage {bundle.info.stage}): it cannot animate"
        )
    chosen = held_out.choose(config.clips, (architecture.frames - 1) * config.stride + 1, config.seed)
    protocol = {
        "bundle": bundle.id,
        "stage": bundle.info.stage,
        "preset": bundle.info.preset,
        "data": held_out.digest,
        "n": len(chosen),
        "frames": architecture.frames,
        "height": architecture.height,
        "width": architecture.width,
        **config.model_dump(mode="json", include={"stride", "fps_condition", "seed", "chunk"}),
        "detector": DETECTOR,
        "sampling": SAMPLING.values(config.sampling),
    }
    return protocol, chosen


def _claim(folder: Folder, protocol: dict[str, Any]) -> None:
    """Mark the folder as this evaluation's, or see that it is."""
    if not folder.exists("protocol.json"):
        folder.write("protocol.json", _finite_json(protocol))
        return
    found = json.loads(folder.read("protocol.json"))
    differing = sorted(name for name in protocol | found if protocol.get(name) != found.get(name))
    if differing:
        raise AnimaticError(
            f"{folder} holds an evaluation with another {', '.join(differing)}; choose another output folder"
        )


def _animate(
    config: EvaluateConfig, protocol: dict[str, Any], missing: list[int], chunks: list[list[int]]
) -> Iterator[int]:
    """Have the actors make the missing chunks; yields their numbers as they finish."""
    if missing:
        yield from run_on_actors(
            _ChunkWorker,
            (config.model_dump_json(), protocol),
            ((number, chunks[number]) for number in missing),
            workers=min(config.workers, len(missing)),
            gpus_per_worker=config.gpus_per_worker,
            address=config.address,
        )


class _ChunkWorker:
    """Holds the bundle's network and makes chunks with it."""

    def __init__(self, config_json: str, protocol: dict[str, Any]) -> None:
        self._config = EvaluateConfig.model_validate_json(config_json)
        self._sampling = ClipSampling(
            frames=protocol["frames"],
            height=protocol["height"],
            width=protocol["width"],
            stride=(self._config.stride, self._config.stride),
            condition="first",
            fps_condition=self._config.fps_condition,
        )

    def ready(self) -> None:
        """Returns once the network is loaded."""
        _ = self._animator, self._held_out

    @functools.cached_property
    def _animator(self) -> Animator:
        device = "cuda" if self._config.gpus_per_worker else "cpu"
        return open_bundle(self._config.bundle).animator().to(device)

    @functools.cached_property
    def _held_out(self) -> HeldOutSet:
        return open_held_out(self._config.data)

    def make(self, number: int, clips: list[int]) -> int:
        """Animate and measure the clips of one chunk; its rows are stored last and say that it is done."""
        began = time.monotonic()
        seed = self._config.seed
        real = [self._held_out.clips[clip].sample(self._sampling, seed) for clip in clips]
        generated = self._generate(real, number)
        folder = Folder(self._config.output)
        with folder.creating(f"chunks/chunk-{number:05d}.npz") as part, part.open("wb") as file:
            np.savez_compressed(
                file,
                keys=np.array([clip.key for clip in real]),
                real=np.stack([clip.pixels for clip in real]),
                generated=generated,
            )
        rows = [measure(clip, pixels) for clip, pixels in zip(real, generated, strict=True)]
        elapsed = time.monotonic() - began
        folder.write(_rows_name(number), _finite_json({"rows": rows, "seconds": elapsed}))
        return number

    def _generate(self, real: list[RealClip], number: int) -> np.ndarray:
        """Clips uint8 [n t h w 3], each from the first frame and caption of a real one."""
        told = [self._config.sampling.fps or clip.fps for clip in real]
        generated: list[np.ndarray] = [np.empty(0)] * len(real)
        # One batch has one frame rate.
        for fps in sorted(set(told)):
            members = [n for n, each in enumerate(told) if each == fps]
            settings = self._config.sampling.model_copy(
                update={"fps": fps, "seed": _noise_seed(self._config.seed, number, members[0])}
            )
            first = torch.from_numpy(np.stack([real[n].pixels[0] for n in members]))
            image = to_signed(first.permute(0, 3, 1, 2))
            frames = animate(self._animator, image, [real[n].caption for n in members], settings)
            if not torch.isfinite(frames).all():
                raise AnimaticError(f"bundle {self._config.bundle} generates pixels that are not finite")
            pixels = to_uint8(frames)
            for n, clip in zip(members, pixels.permute(0, 1, 3, 4, 2).numpy(), strict=True):
                generated[n] = clip
        return np.stack(generated)


def measure(real: RealClip, generated: np.ndarray) -> dict[str, Any]:
    """One row of the report: what is measured on a generated clip [t h w 3] and on the real one beside it."""
    return {
        "key": real.key,
        "caption": real.caption,
        "fps": real.fps,
        "psnr_first_frame": psnr(generated[0], real.pixels[0]),
        "expected": caption_direction(real.caption),
        "generated": motion_direction(generated),
        "real": motion_direction(real.pixels),
        "generated_travel": float(np.hypot(*travel(generated))),
        "real_travel": float(np.hypot(*travel(real.pixels))),
    }


def _noise_seed(seed: int, chunk: int, first: int) -> int:
    # 40 bits: the animator multiplies the seed, and generators take 64.
    return int.from_bytes(derive_key("noise", seed, chunk, first)[:5], "little")


def _rows_name(number: int) -> str:
    return f"chunks/chunk-{number:05d}.json"


def _finite_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
