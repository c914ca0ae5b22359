"""Teacher and student at few steps: quality of clips and passes of the network, on held-out clips.

python -m tests.bench.students DATA OUT --bundle teacher=FOLDER --bundle student=FOLDER [--steps 50,8,4,2]
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.files import write_text
from models.architecture import Architecture
from models.bundle import open_bundle
from models.passes import passes_per_step
from orchestration.workflows.evaluate import EvaluateOptions, generate, measure, plan, prepare_evaluation
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluationReport
from tests.bench import markdown

METRICS = ("direction", "first_frame_psnr", "first_frame_ssim", "dynamic_degree", "flicker")
# By the extractor that they need.
KERNELS = {"i3d": "kvd", "videomae": "videomae_kernel"}
STEPS = "50,8,4,2"


@dataclass(frozen=True)
class Trial:
    """One bundle at one number of steps.

    Attributes:
        passes: of the network for a clip, those of guidance included.
    """

    name: str
    steps: int
    passes: int
    report: EvaluationReport


def steps_of(architecture: Architecture, asked: Sequence[int]) -> list[int]:
    """Those that a network can be sampled with: a student of consistency has a most."""
    most = None if architecture.student is None else architecture.student.points
    return [steps for steps in asked if most is None or steps <= most]


def run_trial(name: str, bundle: Path, steps: int, options: argparse.Namespace) -> Trial:
    """Generate and measure; an evaluation that OUT has already is read."""
    extractors = dict(each.split("=", 1) for each in options.features)
    kernels = [metric for extractor, metric in KERNELS.items() if extractor in extractors]
    request = prepare_evaluation(
        EvaluateOptions(
            data=options.data,
            bundle=str(bundle),
            folder=options.out / f"{name}-{steps}",
            clips=options.clips,
            steps=steps,
            stride=options.stride,
            metrics=(*METRICS, *kernels),
            extractors=extractors,
            workers=options.workers,
        ),
        Workspace(options.out),
    )
    planned = plan(request)
    generate(planned, lambda done, total: None)
    report = measure(planned)
    architecture = open_bundle(bundle, verify=False).info.architecture
    return Trial(name, steps, steps * passes_per_step(architecture, request.config.sampling), report)


def table(trials: Sequence[Trial]) -> str:
    """The trials in Markdown, with the 95 % interval of a figure where it has one."""
    metrics = [
        name
        for name in (*METRICS, *KERNELS.values())
        if any(name in trial.report["metrics"] for trial in trials)
    ]
    lines = markdown.head(["bundle", "steps", "passes", *metrics])
    for trial in trials:
        figures = [markdown.figure(trial.report["metrics"].get(name)) for name in metrics]
        lines.append(markdown.row([trial.name, str(trial.steps), str(trial.passes), *figures]))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every bundle at every number of steps; print the table, and write it to OUT/students.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="held-out dataset")
    parser.add_argument("out", type=Path, help="folder of the evaluations")
    parser.add_argument("--bundle", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--clips", type=int)
    parser.add_argument("--stride", type=int, help="distance between the real clips' frames")
    parser.add_argument("--features", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args(arguments)
    asked = [int(steps) for steps in options.steps.split(",")]
    trials = [
        run_trial(name, Path(folder), steps, options)
        for name, _, folder in (each.partition("=") for each in options.bundle)
        for steps in steps_of(open_bundle(folder, verify=False).info.architecture, asked)
    ]
    found = table(trials)
    write_text(options.out / "students.md", found + "\n")
    print(found)


if __name__ == "__main__":
    main()
