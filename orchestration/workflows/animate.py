"""Animate an image with a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.disk_errors import usable_folder
from core.errors import AnimaticError
from core.files import content_digests, sha256
from core.overlap import one_behind
from models.architecture import Architecture
from models.bundle import Bundle
from models.diffusion.settings import SamplingSettings
from models.modes import Mode, frames_to_sample
from models.network.settings import Compilation
from orchestration.registry import check_complete, select_bundle
from orchestration.signatures import open_trusted
from orchestration.workflows.clip_names import check_seeds, clip_stem, single_file
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from orchestration.media import ClipFiles

PLAYBACK_FPS = 8.0


@dataclass(frozen=True)
class AnimateOptions:
    """What to animate, and how.

    ``bundle``: a folder or an id, the champion (of ``preset``) if None; ``out``: a folder, or the name of an
    mp4 or GIF, ``runs/animations`` if None; ``playback``: frames per second of the files; ``count`` clips,
    each with its own seed; ``frames``: the network's own number if None; ``last``: image to end at;
    ``loop``: end at the image itself; ``codec`` and ``encoders``: files for a bundle that contains none;
    ``base``: folder of an adapter's base, found if None; ``signers``: files of public keys, one of which must
    have signed the bundle, if there are any; ``compilation``: of the network, which takes minutes.
    """

    image: Path
    prompt: str
    bundle: str | None = None
    preset: str | None = None
    out: Path | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    playback: float = PLAYBACK_FPS
    count: int = 1
    frames: int | None = None
    last: Path | None = None
    loop: bool = False
    codec: str | None = None
    encoders: str | None = None
    base: Path | None = None
    signers: Sequence[Path] = ()
    compilation: Compilation = "off"


@dataclass(frozen=True)
class AnimateRequest:
    """The opened bundle, the images at its size (1 3 h w), in [-1, 1], and everything else resolved.

    ``stem``: path of the clips without seed and suffix; ``file``: the only file to write, in place of those
    named after ``stem``; ``last``: None unless it differs from ``first``; ``lost_words``: the end of the
    prompt, which the text encoder does not read; ``forced``: why the champion was promoted without the
    gate's consent, if it was.
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
    file: Path | None
    lost_words: str
    codec: str | None
    encoders: str | None
    forced: str = ""
    compilation: Compilation = "off"


@dataclass(frozen=True)
class AnimateResult:
    """The written clips, by rising seed, and what made them."""

    bundle: Bundle
    settings: SamplingSettings
    clips: list[ClipFiles]


def prepare_animation(
    options: AnimateOptions,
    workspace: Workspace,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> AnimateRequest:
    """Open the bundle and the images, and resolve the settings.

    ``on_progress`` gets (megabytes read, megabytes) of the codec and encoders that were named.

    Raises:
        AnimaticError: no such bundle or image, one that cannot be read, a bundle that cannot animate, a path
            that cannot be written to, or contradicting options.
    """
    if options.loop and options.last is not None:
        raise AnimaticError("--loop ends at the image itself and --last at another: give one of them")
    file = single_file(options.out, options.count)
    opening = partial(open_trusted, signers=options.signers)
    bundle = select_bundle(workspace.ledger, options.bundle, options.preset, opening=opening)
    bundle = bundle.with_base(options.base)
    check_complete(bundle, options.codec, options.encoders)
    settings = sampling_settings(bundle, options.sampling)
    check_seeds(settings.seed, options.count)
    mode = _mode(options)
    architecture = bundle.info.architecture
    frames_to_sample(architecture, mode, options.frames)
    first, *last = _pictures(options, architecture)
    from models.encoders.captions import unread_words

    parts = {"codec": options.codec, "encoders": options.encoders}
    digests = content_digests({name: Path(path) for name, path in parts.items() if path}, on_progress)
    made_from = {**_made_from(options, bundle, settings), **digests}
    folder = usable_folder(file.parent if file else options.out or workspace.root / "animations")
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
        stem=clip_stem(folder, options.image, options.prompt, made_from),
        file=folder / file.name if file else None,
        lost_words=unread_words(options.prompt),
        codec=options.codec,
        encoders=options.encoders,
        forced=workspace.ledger.forced(bundle.id) if options.bundle is None else "",
        compilation=options.compilation,
    )


def animate(request: AnimateRequest, on_progress: Callable[[int, int], None]) -> AnimateResult:
    """Sample the clips, and write each while the next is sampled.

    ``on_progress`` gets (sampling steps done, sampling steps) of all clips.

    Raises:
        AnimaticError: the bundle cannot animate, a part of it is missing, or it cannot be compiled here.
    """
    from models.network.compilation import compiler_errors

    clips = _sampled(request, on_progress)
    with compiler_errors(request.compilation):
        written = [*one_behind(partial(_write, request), clips)]
    return AnimateResult(request.bundle, request.settings, written)


def _sampled(
    request: AnimateRequest, on_progress: Callable[[int, int], None]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(seed, frames) of each clip, sampled as it is asked for."""
    import torch

    from models.animate import animate as sample_clips
    from models.network.compilation import compile_for_sampling
    from orchestration.media import to_frames

    animator = request.bundle.animator(request.codec, request.encoders)
    animator = animator.to("cuda" if torch.cuda.is_available() else "cpu")
    compile_for_sampling(animator.network.unet, request.compilation)
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
        yield settings.seed, to_frames(clip)


def _write(request: AnimateRequest, clip: tuple[int, NDArray[np.uint8]]) -> ClipFiles:
    from orchestration.media import write_clip, write_clip_file

    seed, frames = clip
    if request.file is not None:
        return write_clip_file(frames, request.file, request.playback)
    return write_clip(frames, request.stem.with_name(f"{request.stem.name}-{seed}"), request.playback)


def _pictures(options: AnimateOptions, architecture: Architecture) -> list[Tensor]:
    """The picture, and the last one if there is one, at the size of the network."""
    from orchestration.pictures import open_picture, to_tensor

    pictures = [open_picture(path) for path in (options.image, options.last) if path is not None]
    return [to_tensor(picture, architecture.height, architecture.width) for picture in pictures]


def _made_from(options: AnimateOptions, bundle: Bundle, settings: SamplingSettings) -> dict[str, object]:
    """What determines a clip, besides its prompt, its seed and other frozen parts than the bundle's."""
    return {
        "bundle": bundle.id,
        "pictures": [sha256(path) for path in (options.image, options.last) if path is not None],
        "settings": settings.model_dump(mode="json", exclude={"seed"}),
        "mode": _mode(options),
        "frames": options.frames,
        "playback": options.playback,
    }


def _mode(options: AnimateOptions) -> Mode:
    return "loop" if options.loop else "animate" if options.last is None else "interpolate"
