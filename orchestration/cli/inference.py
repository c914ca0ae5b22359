"""Verbs that use a bundle: animate, evaluate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import AsJson, display_path, err, only_results_on_stdout, out, print_json, short

if TYPE_CHECKING:
    from torch import Tensor

    from models.architecture import Architecture
    from models.bundle import Bundle
    from models.diffusion.settings import SamplingSettings
    from models.modes import Mode
    from pipelines.evaluate import Results

PANEL = "Inference"
PLAYBACK_FPS = 8.0


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command(rich_help_panel=PANEL)(animate)
    app.command(rich_help_panel=PANEL)(evaluate)


def animate(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.")],
    prompt: Annotated[str, typer.Argument(help="What should happen.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where to write; runs/animations if not given.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle folder or id; the champion if not given.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Champion of this preset.")] = None,
    steps: Annotated[int | None, typer.Option(help="DDIM steps.")] = None,
    eta: Annotated[float | None, typer.Option(help="0 deterministic, 1 ancestral noise.")] = None,
    text_guidance: Annotated[float | None, typer.Option(help="Guidance towards the prompt.")] = None,
    image_guidance: Annotated[float | None, typer.Option(help="Separate guidance towards the image.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate (256 model: stride) told to the network.")
    ] = None,
    playback: Annotated[float, typer.Option(min=0.1, help="Frames per second of the files.")] = PLAYBACK_FPS,
    seed: Annotated[int | None, typer.Option(help="Of the noise; one more for each further clip.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Clips to make.")] = 1,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of the clip; the network's own number if not given.")
    ] = None,
    last: Annotated[Path | None, typer.Option(help="Image to end at (interpolation).")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="End where the clip begins.")] = False,
    as_json: AsJson = False,
) -> None:
    """Animate an image as a prompt says; settings not given are the bundle's."""
    from orchestration import media
    from orchestration.registry import select_bundle
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    opened = select_bundle(workspace.ledger, bundle, preset)
    stills = _read_stills(opened.info.architecture, image, last, loop=loop, frames=frames)
    settings = _settings(
        opened.info.sampling_defaults,
        steps=steps,
        eta=eta,
        text_guidance=text_guidance,
        image_guidance=image_guidance,
        fps=fps,
        seed=seed,
    )
    stem = (folder or workspace.root / "animations") / f"{image.stem}-{_slug(prompt)}"
    made = [
        media.write_clip(media.to_frames(clip), stem.with_name(f"{stem.name}-{own_seed}"), playback)
        for own_seed, clip in _clips(opened, stills, prompt, settings, frames=frames, count=count)
    ]
    if as_json:
        print_json({"bundle": opened.id, "settings": settings, "clips": made})
        return
    out().print(f"bundle {short(opened.id)} (stage {opened.info.stage}, preset {opened.info.preset})")
    for files in made:
        for path in (files.mp4, files.gif, files.large):
            if path is not None:
                out().print(display_path(path))


def evaluate(
    data: Annotated[str, typer.Argument(help="Held-out dataset, or a folder of NAME.mp4 with NAME.txt.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where to write; runs/evaluations/BUNDLE if not given.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle folder or id; the champion if not given.")
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="How many; all if not given.")] = None,
    steps: Annotated[int | None, typer.Option(help="DDIM steps.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of clips and the noise.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Ray actors; a GPU or core each.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster; a local Ray if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Animate held-out clips and measure the results: first-frame fidelity, direction of motion."""
    import os

    from orchestration.devices import device_count
    from orchestration.monitoring.progress import counting
    from orchestration.registry import select_bundle
    from orchestration.workspace import Workspace
    from pipelines.evaluate import EvaluateConfig
    from pipelines.evaluate import evaluate as run

    workspace = Workspace.current()
    opened = select_bundle(workspace.ledger, bundle)
    gpus = device_count()
    config = EvaluateConfig(
        data=data,
        output=folder or workspace.root / "evaluations" / short(opened.id),
        clips=clips,
        seed=seed,
        sampling=_settings(opened.info.sampling_defaults, steps=steps),
        workers=workers or gpus or os.cpu_count() or 1,
        gpus_per_worker=1 if gpus else 0,
        address=address,
    )
    with only_results_on_stdout(), counting(err(), "evaluate") as bar:
        report = run(opened, config, bar)
    if as_json:
        print_json(report)
        return
    out().print(f"bundle {short(opened.id)} on {report['results']['psnr_first_frame']['n']} clips")
    _print_results(report["results"])
    out().print(f"report {display_path(config.output / 'report.json')}")


@dataclass(frozen=True)
class _Stills:
    """The picture (1 3 h w) that a clip begins with, and the one that it ends with if that is another."""

    mode: Mode
    first: Tensor
    last: Tensor | None


def _read_stills(
    architecture: Architecture, image: Path, last: Path | None, *, loop: bool, frames: int | None
) -> _Stills:
    """The pictures at the network's size.

    Raises AnimaticError where what is asked for does not go together or a picture cannot be read.
    """
    from models.modes import frames_to_sample
    from orchestration.media import read_image

    if loop and last is not None:
        raise AnimaticError("--loop ends at the image itself and --last at another: give one of them")
    mode: Mode = "loop" if loop else "animate" if last is None else "interpolate"
    frames_to_sample(architecture, mode, frames)
    size = architecture.height, architecture.width
    return _Stills(mode, read_image(image, *size), None if last is None else read_image(last, *size))


def _clips(
    bundle: Bundle,
    stills: _Stills,
    prompt: str,
    settings: SamplingSettings,
    *,
    frames: int | None,
    count: int,
) -> Iterator[tuple[int, Tensor]]:
    """Seed and clip (t 3 h w), one after the other, each with a bar."""
    import torch

    from models.animate import animate as sample_clips
    from orchestration.monitoring.progress import counting

    animator = bundle.animator().to("cuda" if torch.cuda.is_available() else "cpu")
    for number in range(count):
        own = settings.model_copy(update={"seed": settings.seed + number})
        with counting(err(), f"clip {number + 1}/{count}") as bar:
            clips = sample_clips(
                animator,
                stills.first,
                [prompt],
                own,
                bar,
                mode=stills.mode,
                last=stills.last,
                frames=frames,
            )
        yield own.seed, clips[0]


def _print_results(results: Results) -> None:
    fidelity, direction = results["psnr_first_frame"], results["direction"]
    out().print(
        f"first frame {fidelity['mean']:.1f} dB PSNR "
        f"(95 % interval {fidelity['low']:.1f} to {fidelity['high']:.1f})"
    )
    if direction:
        out().print(
            f"direction right in {direction['correct']} of {direction['n']} "
            f"({direction['accuracy']:.0%}; chance {direction['chance']:.0%})"
        )


def _settings(defaults: SamplingSettings, **given: float | None) -> SamplingSettings:
    """A bundle's sampling defaults with the values that the user gave."""
    from pydantic import ValidationError

    update = {name: value for name, value in given.items() if value is not None}
    try:
        return type(defaults).model_validate(defaults.model_dump() | update)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise AnimaticError(f"--{name} {first['input']}: {first['msg']}") from error


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40] or "clip"
