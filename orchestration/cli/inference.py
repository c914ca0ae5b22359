"""Verbs that use a bundle: animate, evaluate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    Address,
    AsJson,
    Codec,
    Encoders,
    Gpus,
    Workers,
    bundle_fields,
    check_workers,
    err,
    local_path,
    only_results_on_stdout,
    out,
    print_json,
    print_result,
    print_table,
    print_warning,
    short,
)
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.animate import AnimateResult
    from orchestration.workflows.evaluate import EvaluateOptions
    from pipelines.evaluate import EvaluationPlan, EvaluationReport, MetricValue

PANEL = "Inference"
LISTED = 10  # keys of frozen or black clips
READING = "MB of the codec and encoders"
_NOTABLE_RATE_ERROR = 0.05  # the nearest delay of usual rates is within it


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (animate, evaluate))


def animate(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.")],
    prompt: Annotated[str, typer.Argument(help="What should happen.")],
    path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="Folder, or the name of an mp4 or GIF; runs/animations if not given.",
        ),
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
        float | None, typer.Option(help="Frame rate (256 model: stride) given to the network.")
    ] = None,
    playback: Annotated[float, typer.Option(min=0.1, max=1000, help="Frames per second of the files.")] = 8.0,
    seed: Annotated[int | None, typer.Option(help="Of the noise; one more for each further clip.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Clips to make.")] = 1,
    frames: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Frames of the clip; the network's own number if not given."),
    ] = None,
    last: Annotated[Path | None, typer.Option(help="Image to end at (interpolation).")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="End where the clip begins.")] = False,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Animate an image as a prompt says; settings not given are the bundle's."""
    from orchestration.workflows import animate as workflow
    from orchestration.workflows.sampling import SamplingOptions
    from orchestration.workspace import Workspace

    options = workflow.AnimateOptions(
        image=image,
        prompt=prompt,
        bundle=bundle,
        preset=preset,
        out=path,
        sampling=SamplingOptions(steps, eta, text_guidance, image_guidance, fps, seed),
        playback=playback,
        count=count,
        frames=frames,
        last=last,
        loop=loop,
        codec=codec,
        encoders=encoders,
    )
    from orchestration.monitoring.progress import counting

    with counting(err(), READING) as on_progress:
        request = workflow.prepare_animation(options, Workspace.current(), on_progress)
    if request.bundle.info.sampling is None:
        print_warning("the bundle records no sampling settings: general defaults apply to those not given")
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
        _print_clips(result, playback)


def evaluate(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Held-out dataset, or a folder of NAME.mp4 with NAME.txt.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="Where to write; runs/evaluations/BUNDLE-PROTOCOL if not given.",
        ),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Bundle folder or id; the champion if not given.")
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="How many; all if not given.")] = None,
    steps: Annotated[int | None, typer.Option(help="DDIM steps.")] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of clips and the noise.")] = 0,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="Take every n-th frame of the real clips; the network gets their rate."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Which to measure; all that need no weights or have their extractor if not given.",
        ),
    ] = None,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Animate held-out clips and measure the results: first-frame fidelity, motion, flicker."""
    check_workers(context, workers)
    from orchestration.workflows import evaluate as workflow
    from orchestration.workspace import Workspace

    options = workflow.EvaluateOptions(
        data=data,
        bundle=bundle,
        folder=folder,
        clips=clips,
        steps=steps,
        seed=seed,
        stride=stride,
        metrics=_names(metrics),
        workers=workers,
        gpus=gpus,
        codec=codec,
        encoders=encoders,
    )
    if submitted(context, Cluster(address, environment, as_json), partial(_evaluate_job, options)):
        return
    from orchestration.monitoring.progress import counting

    request = workflow.prepare_evaluation(options, Workspace.current())
    with counting(err(), READING) as on_progress:
        planned = workflow.plan(request, on_progress)
    finished = planned.report.exists()
    with only_results_on_stdout(), counting(err(), "generate") as on_progress:
        workflow.generate(planned, on_progress)
    with only_results_on_stdout(), counting(err(), "measure") as on_progress:
        report = workflow.measure(planned, on_progress)
    print_result(report, partial(_print_evaluation, planned, report, finished), as_json)


def _evaluate_job(options: EvaluateOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import evaluate_job
    from orchestration.workspace import Workspace

    return evaluate_job(options, Workspace.current())


def _print_clips(result: AnimateResult, playback: float) -> None:
    info = result.bundle.info
    out().print(f"bundle {short(result.bundle.id)} (stage {info.stage}, preset {info.preset})")
    for files in result.clips:
        for path in files.paths:
            out().print(display_path(path))
    gif_fps = result.clips[0].gif_fps
    if result.clips[0].gif and abs(gif_fps / playback - 1) > _NOTABLE_RATE_ERROR:
        print_warning(
            f"GIFs play at {gif_fps:.3g} frames per second, not {playback:g}: delays are hundredths of a "
            "second, and browsers play none below two; the mp4 has the exact rate"
        )


def _names(text: str | None) -> tuple[str, ...] | None:
    """The names in a comma-separated list. Raises AnimaticError for an empty one."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise AnimaticError("--metrics names none: leave it out for all that can be measured")
    return names


def _print_evaluation(planned: EvaluationPlan, report: EvaluationReport, finished: bool) -> None:
    if finished:
        out().print("nothing left to do: every clip was evaluated before")
    system = report["system"]
    out().print(f"{system['kind']} {short(system['digest'])} on {len(report['clips'])} clips")
    print_table(
        ("metric", "value", "95 % interval", "unit", "better", "clips"),
        [_metric_row(name, value) for name, value in report["metrics"].items()],
    )
    for state in ("frozen", "black"):
        if keys := report[state]:
            out().print(
                f"{len(keys)} {state}: {', '.join(keys[:LISTED])}{', …' if len(keys) > LISTED else ''}"
            )
    out().print(f"report {display_path(planned.report)}")


def _metric_row(name: str, value: MetricValue) -> tuple[object, ...]:
    low, high = value["low"], value["high"]
    interval = None if low is None or high is None else f"{low:.4g} to {high:.4g}"
    better = None if value["better"] == "neither" else value["better"]
    return name, f"{value['value']:.4g}", interval, value["unit"], better, value["n"]
