"""The Ray actor of an evaluation: animates and measures the held-out clips of one chunk after another."""

import time
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from core.errors import AnimaticError
from models.animate import animate
from models.animator import Animator
from models.bundle import open_bundle
from models.pixels import to_signed, to_uint8
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.heldout import HeldOutSet, RealClip, open_held_out
from pipelines.evaluate.metrics import caption_direction, motion_direction, psnr, travel
from pipelines.evaluate.records import ChunkResult, ClipResult, EvaluationProtocol
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.loader import ClipSampling, derive_key

Clips = npt.NDArray[np.uint8]


class ChunkWorker:
    """Holds the bundle's network and makes chunks with it."""

    def __init__(self, bundle: Path, config_json: str, protocol: EvaluationProtocol) -> None:
        """``bundle`` is the folder of the bundle that the protocol names, verified by the job."""
        self._bundle, self._bundle_id = bundle, protocol["bundle"]
        self._config = EvaluateConfig.model_validate_json(config_json)
        self._sampling = ClipSampling(
            frames=protocol["frames"],
            height=protocol["height"],
            width=protocol["width"],
            stride=(protocol["stride"], protocol["stride"]),
            condition="first",
            fps_condition=protocol["fps_condition"],
        )

    def ready(self) -> None:
        """Load the network and open the clips. Raises AnimaticError if the bundle has changed."""
        _ = self._animator, self._held_out

    def make(self, chunk: tuple[int, list[int]]) -> int:
        """Animate, measure and store the clips of a chunk (number, clips); returns its number.

        Raises AnimaticError if a clip cannot be decoded, or if the network's result is not finite.
        """
        number, clips = chunk
        start = time.monotonic()
        seed = self._config.seed
        real = [self._held_out.clips[clip].sample(self._sampling, seed) for clip in clips]
        generated = self._generate(real, number)
        rows = [measure(clip, pixels) for clip, pixels in zip(real, generated, strict=True)]
        seconds = time.monotonic() - start
        result: ChunkResult = {"rows": rows, "seconds": seconds}
        EvaluationFolder(self._config.output).write_chunk(number, real, generated, result)
        return number

    @cached_property
    def _animator(self) -> Animator:
        device = "cuda" if self._config.gpus_per_worker else "cpu"
        bundle = open_bundle(self._bundle, verify=False)
        if bundle.id != self._bundle_id:
            raise AnimaticError(f"bundle {self._bundle} has changed since the evaluation began: rerun it")
        return bundle.animator(self._config.codec, self._config.encoders).to(device)

    @cached_property
    def _held_out(self) -> HeldOutSet:
        return open_held_out(self._config.data)

    def _generate(self, real: list[RealClip], number: int) -> Clips:
        """Clips uint8 [n t h w 3], each from the first frame and the caption of a real one."""
        rates = [self._config.sampling.fps or clip.fps for clip in real]
        generated: dict[int, Clips] = {}
        # All clips of one call have the same frame rate.
        for fps in sorted(set(rates)):
            members = [n for n, rate in enumerate(rates) if rate == fps]
            settings = self._config.sampling.model_copy(
                update={"fps": fps, "seed": _noise_seed(self._config.seed, number, members[0])}
            )
            first = torch.from_numpy(np.stack([real[n].pixels[0] for n in members]))
            images = to_signed(first.permute(0, 3, 1, 2))
            frames = animate(self._animator, images, [real[n].caption for n in members], settings)
            pixels = to_uint8(frames).permute(0, 1, 3, 4, 2).numpy()
            generated |= zip(members, pixels, strict=True)
        return np.stack([generated[n] for n in range(len(real))])


def measure(real: RealClip, generated: Clips) -> ClipResult:
    """Measure a generated clip [t h w 3] and the real one."""
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
