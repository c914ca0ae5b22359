"""Validation samples: the same few stills, animated at regular intervals during training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import AnimaticError
from core.files import atomic_file
from core.h264 import H264Settings, write_mp4
from models.animate import animate
from models.animator import Animator
from models.batch import Batch
from models.network.network import Network
from models.pixels import to_signed, to_uint8
from training import events
from training.batch_source import BatchSource
from training.config import RunConfig
from training.control import Phase, RunControl
from training.journal import Journal
from training.processes.errors import PeerError
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder

_PLAYBACK_FPS = 8


@dataclass(frozen=True)
class ValidationSample:
    """A sample on disk: its clip, or its picture where the network makes single images."""

    path: Path
    prompt: str


class Validation:
    """Draws a run's samples when they are due, until it is to stop; nothing that fails in it ends the run."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        source: BatchSource,
        animator: Animator,
        group: ProcessGroup,
        journal: Journal,
        control: RunControl,
    ) -> None:
        """Reads nothing yet."""
        self._control = control
        self._config, self._folder, self._source = config, folder, source
        self._animator, self._group, self._journal = animator, group, journal
        self._first: Batch | None = None

    def draw(self, step: int, whole_weights: Callable[[], Mapping[str, Tensor]]) -> None:
        """Draw the samples of ``step`` if they are due. Collective.

        Args:
            whole_weights: the whole network in the first process. Collective; raises in all processes or
                after its last collective.
        """
        every = self._config.validation.every
        if not every or step % every:
            return
        self._control.enter(Phase.DRAWING_SAMPLES, step)
        try:
            weights = self._group.together(whole_weights)
            self._group.together(lambda: self._write(step, weights))
        except Exception as error:  # noqa: BLE001  whatever fails here, training is worth more than a sample
            message = (
                str(error)
                if isinstance(error, AnimaticError | PeerError)
                else f"{type(error).__name__}: {error}"
            )
            self._journal.record(step, events.Warned(f"no validation samples: {message}"))

    def _write(self, step: int, weights: Mapping[str, Tensor]) -> None:
        if not self._group.is_first:
            return
        if self._first is None:  # kept: finding it again reads the table of the whole dataset
            self._first = self._source.first(self._config.validation.count)
        folder = self._folder
        for sample in draw_samples(self._animator, weights, self._first, self._config, folder.samples, step):
            path = str(sample.path.relative_to(folder.path))
            self._journal.record(step, events.SampleDrawn(path, sample.prompt))
            if self._control.stop_signal:
                return


def draw_samples(
    animator: Animator,
    weights: Mapping[str, Tensor],
    batch: Batch,
    config: RunConfig,
    folder: Path,
    step: int,
) -> Iterator[ValidationSample]:
    """Animate the first stills of ``batch`` and write ``step-…-N.mp4`` and ``.png`` (a strip of its frames).

    Each sample is drawn when it is asked for.

    Args:
        animator: its frozen encoders and codec are used, its own network is not.
        weights: whole weights of the network, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sampler = _with_weights(animator, weights)
    settings = config.validation.sampling
    if animator.device.type != "cpu":
        # As documented in ValidationConfig: in float32, the samples take several times as long, during which
        # the other processes wait.
        settings = settings.model_copy(update={"precision": "bfloat16"})
    count = min(config.validation.count, len(batch))
    prompts = list(config.validation.prompts or batch.captions)
    for index in range(count):
        prompt = prompts[index % len(prompts)]
        still = to_signed(batch.stills[index][None])
        own = settings.model_copy(
            update={"seed": settings.seed + index, "fps": settings.fps or float(batch.fps[index])}
        )
        clip = animate(sampler, still, [prompt], own)[0]
        frames = to_uint8(clip).permute(0, 2, 3, 1).numpy()
        path = _write(frames, folder / f"step-{step:08d}-{index}")
        yield ValidationSample(path, prompt)


def _with_weights(animator: Animator, weights: Mapping[str, Tensor]) -> Animator:
    """An animator with a network of these weights and the frozen parts of ``animator``."""
    network = Network(animator.architecture).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
    return animator.with_network(network.to(animator.device))


def _write(frames: np.ndarray, stem: Path) -> Path:
    """Write frames (t h w 3) uint8 as a strip and, if there are several, as a clip."""
    strip = stem.with_suffix(".png")
    with atomic_file(strip) as partial:
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(partial)
    if len(frames) == 1:
        return strip
    path = stem.with_suffix(".mp4")
    with atomic_file(path) as partial:
        write_mp4(frames, partial, _PLAYBACK_FPS, H264Settings(crf=18))
    return path
