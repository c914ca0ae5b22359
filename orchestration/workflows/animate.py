"""Animate an image with a bundle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from models.bundle import Bundle
from models.diffusion.settings import SamplingSettings
from models.modes import Mode, frames_to_sample
from orchestration.registry import select_bundle
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

    from orchestration.media import ClipFiles

PLAYBACK_FPS = 8.0


@dataclass(frozen=True)
class AnimateOptions:
    """What to animate, and how.

    ``bundle``: a folder or an id, the champion (of ``preset``) if None; ``folder``: ``runs/animations`` if
    None; ``playback``: frames per second of the files; ``count`` clips, each with its own seed; ``frames``:
    the network's own number if None; ``last``: image to end at; ``loop``: end at the image itself.
    """

    image: Path
    prompt: str
    bundle: str | None = None
    preset: str | None = None
    folder: Path | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    playback: float = PLAYBACK_FPS
    count: int = 1
    frames: int | None = None
    last: Path | None = None
    loop: bool = False


@dataclass(frozen=True)
class AnimateRequest:
    """The opened bundle, the images at its size (1 3 h w), in [-1, 1], and everything else resolved.

    ``stem``: path of the clips without seed and suffix; ``last``: None unless it differs from ``first``.
    """

    bundle: Bundle
    mode: Mode
    first: Tensor
    last: Tensor | None
    prompt: str
    settings: SamplingSettings
    frames: int | None
    count: int
    playback: float
    stem: Path


@dataclass(frozen=True)
class AnimateResult:
    """The written clips, by rising seed, and what made them."""

    bundle: Bundle
    settings: SamplingSettings
    clips: list[ClipFiles]


def prepare_animation(options: AnimateOptions, workspace: Workspace) -> AnimateRequest:
    """Open the bundle and the images, and resolve the settings.

    Raises:
        AnimaticError: no such bundle or image, one that cannot be read, or contradicting options.
    """
    if options.loop and options.last is not None:
        raise AnimaticError("--loop ends at the image itself and --last at another: give one of them")
    bundle = select_bundle(workspace.ledger, options.bundle, options.preset)
    settings = sampling_settings(bundle, options.sampling)
    mode: Mode = "loop" if options.loop else "animate" if options.last is None else "interpolate"
    architecture = bundle.info.architecture
    frames_to_sample(architecture, mode, options.frames)
    from orchestration.pictures import open_picture, to_tensor

    pictures = [open_picture(path) for path in (options.image, options.last) if path is not None]
    first, *last = [to_tensor(picture, architecture.height, architecture.width) for picture in pictures]
    folder = options.folder or workspace.root / "animations"
    return AnimateRequest(
        bundle=bundle,
        mode=mode,
        first=first,
        last=last[0] if last else None,
        prompt=options.prompt,
        settings=settings,
        frames=options.frames,
        count=options.count,
        playback=options.playback,
        stem=folder / f"{options.image.stem}-{_slug(options.prompt)}",
    )


def animate(request: AnimateRequest, on_progress: Callable[[int, int], None]) -> AnimateResult:
    """Sample and write the clips; ``on_progress`` gets (sampling steps done, sampling steps) of all clips.

    Raises:
        AnimaticError: the bundle cannot animate, or a part of it is missing.
    """
    import torch

    from models.animate import animate as sample_clips
    from orchestration.media import to_frames, write_clip

    animator = request.bundle.animator().to("cuda" if torch.cuda.is_available() else "cpu")
    made = []
    for number in range(request.count):
        settings = request.settings.model_copy(update={"seed": request.settings.seed + number})

        def report(done: int, total: int, clip: int = number) -> None:
            on_progress(clip * total + done, request.count * total)

        (clip,) = sample_clips(
            animator,
            request.first,
            [request.prompt],
            settings,
            report,
            mode=request.mode,
            last=request.last,
            frames=request.frames,
        )
        stem = request.stem.with_name(f"{request.stem.name}-{settings.seed}")
        made.append(write_clip(to_frames(clip), stem, request.playback))
    return AnimateResult(request.bundle, request.settings, made)


def _slug(prompt: str) -> str:
    """The prompt as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40] or "clip"
