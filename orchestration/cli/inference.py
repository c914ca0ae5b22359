"""The verb that uses a bundle: animate."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    AsJson,
    Codec,
    Encoders,
    bundle_fields,
    err,
    given,
    local_path,
    local_source,
    out,
    print_json,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.remote import REASON, WITHOUT_EFFECT, animate_at_server, made_by, request_fields
from orchestration.cli.sampling import CacheEvery, GuidanceEvery, GuidanceInterval, SolverName
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.media import ClipFiles
    from orchestration.workflows.animate import AnimateOptions
    from orchestration.workflows.animate_remotely import RemoteOptions

PANEL = "Inference"
READING = "MB of the codec and encoders"
_NOTABLE_RATE_ERROR = 0.05  # the nearest delay of usual rates is within it

_Output = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=local_path,
        metavar="PATH",
        help="Folder, or the name of an mp4 or GIF; runs/animations if not given.",
    ),
]
_Bundle = Annotated[
    str | None,
    typer.Option(help="Bundle folder or id; with --server also challenger; the champion if not given."),
]
_Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Let the service of `animatic serve` at this URL sample the clips."),
]
_KeyFile = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FILE",
        help="API key for --server, as `animatic api-key create` printed it; else $ANIMATIC_API_KEY.",
    ),
]
_Fps = Annotated[float | None, typer.Option(help="Frame rate (256 model: stride) given to the network.")]
_Motion = Annotated[
    float | None,
    typer.Option(
        help="How far what is in the picture moves, percent of the short side a frame; needs a network that "
        "was trained for it."
    ),
]
_Frames = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, help="Frames of the clip; the network's own number if not given."),
]
AdapterBase = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FOLDER",
        help="Bundle that an adapter was trained on; found where it was, or beside it, if not given.",
    ),
]
_Signers = Annotated[
    list[Path] | None,
    typer.Option(
        parser=local_source,
        metavar="FILE",
        help="Refuse a bundle that is not signed by this public key, repeatable: by one of them.",
    ),
]


class Compiled(StrEnum):
    """What torch.compile makes of the network."""

    OFF = "off"
    BLOCKS = "blocks"
    GRAPHS = "graphs"


_Compile = Annotated[
    Compiled,
    typer.Option(
        "--compile",
        help="Compile the network's blocks, with graphs as CUDA graphs; takes minutes before the first clip.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (animate,))


def animate(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.")],
    prompt: Annotated[str, typer.Argument(help="What should happen.")],
    path: _Output = None,
    bundle: _Bundle = None,
    preset: Annotated[str | None, typer.Option(help="Champion of this preset.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of sampling.")] = None,
    solver: SolverName = None,
    guidance_interval: GuidanceInterval = None,
    guidance_every: GuidanceEvery = None,
    cache_every: CacheEvery = None,
    eta: Annotated[float | None, typer.Option(help="Of DDIM: 0 deterministic, 1 ancestral noise.")] = None,
    text_guidance: Annotated[float | None, typer.Option(help="Guidance towards the prompt.")] = None,
    image_guidance: Annotated[float | None, typer.Option(help="Separate guidance towards the image.")] = None,
    fps: _Fps = None,
    motion: _Motion = None,
    playback: Annotated[float, typer.Option(min=0.1, max=1000, help="Frames per second of the files.")] = 8.0,
    seed: Annotated[int | None, typer.Option(help="Of the noise; one more for each further clip.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Clips to make.")] = 1,
    frames: _Frames = None,
    last: Annotated[Path | None, typer.Option(help="Image to end at (interpolation).")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="End where the clip begins.")] = False,
    codec: Codec = None,
    encoders: Encoders = None,
    base: AdapterBase = None,
    require_signer: _Signers = None,
    compilation: _Compile = Compiled.OFF,
    server: _Server = None,
    api_key_file: _KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Animate an image as a prompt says; settings not given are the bundle's."""
    from orchestration.workflows.animate import AnimateOptions
    from orchestration.workflows.sampling import SamplingOptions

    sampling = SamplingOptions(
        steps, eta, text_guidance, image_guidance, fps, seed, solver,
        guidance_interval, guidance_every, cache_every, motion,
    )  # fmt: skip
    if server is not None:
        from orchestration.serving.client import read_key
        from orchestration.workflows.animate_remotely import RemoteOptions

        refuse(given(context, *WITHOUT_EFFECT), REASON)
        chosen = playback if given(context, "playback") else None
        fields = request_fields(bundle, sampling, loop=loop, frames=frames, playback=chosen)
        key = read_key(api_key_file)
        _animate_at_server(RemoteOptions(server, image, prompt, key, last, fields, count, path), as_json)
        return
    refuse(given(context, "api_key_file"), "without --server")
    local = AnimateOptions(
        image=image, prompt=prompt, bundle=bundle, preset=preset, out=path, sampling=sampling,
        playback=playback, count=count, frames=frames, last=last, loop=loop, codec=codec, encoders=encoders,
        base=base, signers=require_signer or (), compilation=compilation.value,
    )  # fmt: skip
    _animate(local, as_json)


def _animate(options: AnimateOptions, as_json: bool) -> None:
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import animate as workflow
    from orchestration.workspace import Workspace

    with counting(err(), READING) as on_progress:
        request = workflow.prepare_animation(options, Workspace.current(), on_progress)
    if request.bundle.info.sampling is None:
        print_warning("the bundle records no sampling settings: general defaults apply to those not given")
    if request.forced:
        print_warning(f"the champion was promoted without the gate's consent: {request.forced}")
    if request.lost_words:
        print_warning(
            f"the prompt has more than the 77 tokens that are read; cut before: {request.lost_words}"
        )
    with counting(err(), "sampling steps") as on_progress:
        result = workflow.animate(request, on_progress)
    if as_json:
        made_by = bundle_fields(result.bundle.id, result.bundle.folder)
        print_json({**made_by, "sampling": result.settings, "clips": result.clips})
    else:
        info = result.bundle.info
        out().print(f"bundle {short(result.bundle.id)} (stage {info.stage}, preset {info.preset})")
        _print_clips(result.clips, options.playback)


def _animate_at_server(options: RemoteOptions, as_json: bool) -> None:
    result = animate_at_server(options, as_json)
    if not as_json:
        out().print(made_by(result))
        _print_clips([clip.files for clip in result.clips], result.clips[0].video.fps)


def _print_clips(clips: Sequence[ClipFiles], playback: float) -> None:
    for files in clips:
        for path in files.paths:
            out().print(display_path(path))
    gif_fps = clips[0].gif_fps
    if clips[0].gif and abs(gif_fps / playback - 1) > _NOTABLE_RATE_ERROR:
        print_warning(
            f"GIFs play at {gif_fps:.3g} frames per second, not {playback:g}: delays are hundredths of a "
            "second, and browsers play none below two; the mp4 has the exact rate"
        )
