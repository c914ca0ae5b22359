"""The verb that measures: evaluate."""

from __future__ import annotations

from collections.abc import Sequence
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
    check_workers,
    err,
    local_path,
    local_source,
    only_results_on_stdout,
    out,
    print_json,
    print_result,
    print_warning,
)
from orchestration.cli.evaluation_tables import print_evaluation
from orchestration.cli.inference import PANEL, READING, AdapterBase
from orchestration.cli.sampling import CacheEvery, GuidanceEvery, GuidanceInterval, SolverName
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.workspace import Workspace, display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.evaluate import EvaluateOptions, EvaluateRequest
    from pipelines.evaluate import EvaluationPlan, EvaluationReport

Folder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=local_path,
        metavar="PATH",
        help="Where to write; runs/evaluations/BUNDLE-PROTOCOL if not given.",
    ),
]
BundleName = Annotated[str | None, typer.Option(help="Bundle folder or id; the champion if not given.")]
Preset = Annotated[
    str | None, typer.Option(help="Of the champion, of another alias or of the newest bundle.")
]
Newest = Annotated[
    bool,
    typer.Option("--newest", help="The stage-3 bundle that was accepted last, in place of the champion."),
]
Stride = Annotated[
    int | None,
    typer.Option(min=1, help="Take every n-th frame of the real clips; the network gets their rate."),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…",
        help="Which to measure; all that need no weights or have their extractor if not given.",
    ),
]
Extractors = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH[@SHA256]",
        help="A network that features come from: i3d, videomae, dreamsim or clip; repeatable.",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="held-out; ucf101 or msrvtt: DATA is that dataset as unpacked, 2048 clips at stride 3.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Videos of a public dataset; testlist01 or test if not given, or all."),
]
Captions = Annotated[
    str | None,
    typer.Option(help="Which of MSR-VTT's captions is the prompt: first (default) or longest."),
]
Generated = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FOLDER",
        help="Measure these clips, KEY.mp4 or frames in KEY/, that another system made of the pictures.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Generate with i2vgen-xl or stable-video-diffusion."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        parser=local_source, metavar="FOLDER", help="Pipeline of --baseline, as diffusers stores it."
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="FxHxW",
        help="Frames, height and width of clips that no bundle generates; the bundle's if not given.",
    ),
]
Pictures = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FOLDER",
        help="Write KEY.png and prompts.csv, for a system elsewhere, and measure nothing.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (evaluate,))


def evaluate(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Held-out dataset, or a folder of NAME.mp4 with NAME.txt.")],
    folder: Folder = None,
    bundle: BundleName = None,
    newest: Newest = False,
    preset: Preset = None,
    clips: Annotated[int | None, typer.Option(min=1, help="How many; all if not given.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of sampling.")] = None,
    solver: SolverName = None,
    guidance_interval: GuidanceInterval = None,
    guidance_every: GuidanceEvery = None,
    cache_every: CacheEvery = None,
    seed: Annotated[int, typer.Option(help="Of the choice of clips and the noise.")] = 0,
    stride: Stride = None,
    metrics: Metrics = None,
    extractor: Extractors = None,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    codec: Codec = None,
    encoders: Encoders = None,
    base: AdapterBase = None,
    protocol: Protocol = "held-out",
    split: Split = None,
    captions: Captions = None,
    generated: Generated = None,
    baseline: Baseline = None,
    weights: Weights = None,
    size: Size = None,
    export_pictures: Pictures = None,
    as_json: AsJson = False,
) -> None:
    """Animate held-out clips and measure the results: first-frame fidelity, motion, flicker."""
    check_workers(context, workers)
    from orchestration.workflows import evaluate as workflow
    from orchestration.workflows.sampling import SamplingOptions

    exports = export_pictures is not None
    system = workflow.SystemOptions(
        protocol, split, captions, generated, baseline, weights, size, exports, newest, preset
    )
    sampling = SamplingOptions(
        solver=solver, guidance_interval=guidance_interval, guidance_every=guidance_every,
        cache_every=cache_every,
    )  # fmt: skip
    options = workflow.EvaluateOptions(
        data=data, bundle=bundle, folder=folder, clips=clips, steps=steps, sampling=sampling, seed=seed,
        stride=stride, metrics=_names(metrics), extractors=_extractors(extractor or []), workers=workers,
        gpus=gpus, codec=codec, encoders=encoders, base=base, system=system,
    )  # fmt: skip
    if export_pictures is not None:
        _export(options, export_pictures, address, as_json)
    elif not submitted(context, Cluster(address, environment, as_json), partial(_evaluate_job, options)):
        _run(options, as_json)


def _run(options: EvaluateOptions, as_json: bool) -> None:
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import evaluate as workflow

    request = _prepared(options)
    with counting(err(), READING) as on_progress:
        planned = workflow.plan(request, on_progress)
    _warn_of_missing(planned)
    finished = planned.report.exists()
    with only_results_on_stdout(), counting(err(), "generate") as on_progress:
        workflow.generate(planned, on_progress)
    with only_results_on_stdout(), counting(err(), "measure") as on_progress:
        report = workflow.measure(planned, on_progress)
    _attach(request, planned, report)
    print_result(report, partial(print_evaluation, planned, report, finished), as_json)


def _attach(request: EvaluateRequest, planned: EvaluationPlan, report: EvaluationReport) -> None:
    """Attach the report to the run of the bundle."""
    bundle = request.system.bundle
    if bundle is None:
        return
    from orchestration.workflows.evaluation_record import attach_report

    with only_results_on_stdout():
        problem = attach_report(bundle, report, planned.config.output, Workspace.current())
    if problem:
        print_warning(problem)


def _prepared(options: EvaluateOptions) -> EvaluateRequest:
    """The request, with the videos of a public dataset normalised."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import evaluate as workflow

    workspace = Workspace.current()
    request = workflow.prepare_evaluation(options, workspace)
    with only_results_on_stdout(), counting(err(), "videos") as on_progress:
        return workflow.prepare_data(request, workspace, on_progress)


def _export(options: EvaluateOptions, folder: Path, address: str | None, as_json: bool) -> None:
    if address is not None:
        raise AnimaticError("--export-pictures writes to this machine: leave out --address")
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import evaluate as workflow

    request = _prepared(options)
    with counting(err(), "pictures") as on_progress:
        result = workflow.export_pictures(request, folder, on_progress)
    if as_json:
        print_json(result)
    else:
        out().print(f"{result.exported} pictures and prompts.csv in {display_path(folder)}")


def _warn_of_missing(planned: EvaluationPlan) -> None:
    if missing := planned.protocol["missing"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in missing.items())
        print_warning(
            f"{sum(missing.values())} listed videos cannot be used ({reasons}): they are named in "
            f"{display_path(Path(planned.config.data))}/held-out.json"
        )


def _evaluate_job(options: EvaluateOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import evaluate_job

    return evaluate_job(options, Workspace.current())


def _names(text: str | None) -> tuple[str, ...] | None:
    """The names in a comma-separated list. Raises AnimaticError for an empty one."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise AnimaticError("--metrics names none: leave it out for all that can be measured")
    return names


def _extractors(texts: Sequence[str]) -> dict[str, str]:
    """Paths, with digests, by name. Raises AnimaticError for other texts, and a name given twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise AnimaticError(f"--extractor {text} is not of the form NAME=PATH or NAME=PATH@SHA256")
        if name in found:
            raise AnimaticError(f"--extractor {name} is given twice: name one network")
        found[name] = str(local_source(path))
    return found
