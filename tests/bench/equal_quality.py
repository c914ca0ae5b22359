"""Whether fewer or cheaper steps make clips of equal quality, by the metrics of the evaluation.

python -m tests.bench.equal_quality DATA OUT --bundle FOLDER [--only "unipc, 25 steps"]
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from core.files import write_text
from models.animate import sample_latents
from models.animator import Animator
from models.bundle import open_bundle
from models.diffusion.settings import SamplingSettings
from orchestration.workflows.compare import CompareOptions, compare
from orchestration.workflows.evaluate import EvaluateOptions, evaluate, plan, prepare_evaluation
from orchestration.workspace import Workspace
from pipelines.evaluate import REPORT, EvaluationReport, read_report
from pipelines.evaluate.comparison import Comparison, MetricComparison
from tests.bench import markdown
from tests.bench.few_steps import BASELINE, PROMPT, VARIANTS

METRICS = (
    "first_frame_psnr",
    "first_frame_ssim",
    "dynamic_degree",
    "direction",
    "travel",
    "flicker",
    "kvd",
)
# Besides those of the bench of errors.
MORE: dict[str, dict[str, object]] = {
    "unipc, 25 steps, cache every 2": {"steps": 25, "solver": "unipc", "cache_every": 2},
    "ddim, 6 steps": {"steps": 6},
    "dpmpp_2m, 6 steps": {"steps": 6, "solver": "dpmpp_2m"},
    "unipc, 6 steps": {"steps": 6, "solver": "unipc"},
}
SETTINGS = VARIANTS | MORE
DEFAULT = tuple(name for name in SETTINGS if "interval" not in name and "every 4" not in name)


class RandomFeatures(nn.Module):
    """Features of clips without a download: random convolutions of space and time, in the signature of I3D.

    The mean and the deviation of the last layer over space and time, 128 numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        self.layers = nn.ModuleList(
            nn.Conv3d(own, following, 3, (1, 2, 2), 1) for own, following in itertools.pairwise(widths)
        )

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        """Clips (n 3 t h w), 0 to 255 → (n 128); the options of I3D's file change nothing."""
        x = x / 127.5 - 1
        for layer in self.layers:
            x = torch.relu(layer(x))
        return torch.cat([x.mean(dim=[2, 3, 4]), x.std(dim=[2, 3, 4])], dim=1)


def write_features(path: Path) -> Path:
    """Write RandomFeatures, with weights drawn from a fixed seed, as ``--extractor i3d=PATH`` takes them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RandomFeatures()
        for layer in network.layers:
            nn.init.kaiming_normal_(layer.get_parameter("weight"))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(network.eval()).save(path)
    return path


@dataclass(frozen=True)
class Trial:
    """One setting: its arithmetic for a clip, its report, and its comparison with the baseline."""

    name: str
    tflop: float
    report: EvaluationReport
    comparison: Comparison | None


def counted_tflop(animator: Animator, settings: SamplingSettings) -> float:
    """Arithmetic of sampling one clip, by the shapes of all tensors: nothing is computed."""
    size = (animator.architecture.height, animator.architecture.width)
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        sample_latents(animator, torch.zeros(1, 3, *size), [PROMPT], settings)
    return counter.get_total_flops() / 1e12


def evaluated(name: str, features: Path, options: argparse.Namespace) -> tuple[SamplingSettings, Path]:
    """Generate and measure what OUT lacks; the settings, and the file of the report."""
    own = open_bundle(options.bundle, verify=False).info.sampling_defaults
    settings = own.changed(**{"steps": 50, "solver": "ddim", "eta": 0.0} | SETTINGS[name])
    folder = options.out / name.replace(",", "").replace(" ", "-")
    request = prepare_evaluation(
        EvaluateOptions(
            data=options.data,
            bundle=str(options.bundle),
            folder=folder,
            clips=options.clips,
            metrics=METRICS,
            extractors={"i3d": str(features)},
            workers=options.workers,
            values={"sampling": settings.model_copy(update={"fps": None})},
        ),
        Workspace(options.out),
    )
    evaluate(plan(request), lambda done, total: None)
    return settings, folder / REPORT


def table(trials: Sequence[Trial]) -> str:
    """The first trial's figures with their 95 % intervals, and the others' paired differences from it.

    * marks an interval that excludes 0; the last column is the verdict by the margins of the preset's gate.
    """
    lines = markdown.head(["setting", "TFLOP", *METRICS, "by the gate"])
    for trial in trials:
        if trial.comparison is None:
            figures = [markdown.figure(trial.report["metrics"][name]) for name in METRICS]
            verdict = "baseline"
        else:
            found = {metric.name: metric for metric in trial.comparison.metrics}
            figures = [_difference(found[name]) for name in METRICS]
            gated = {metric.verdict for metric in found.values() if metric.margin}
            verdict = ", ".join(each for each in ("worse", "undecided") if each in gated) or "equal"
        lines.append(markdown.row([trial.name, f"{trial.tflop:.3g}", *figures, verdict]))
    return "\n".join(lines)


def _difference(found: MetricComparison) -> str:
    low, high = found.low, found.high
    if low is None or high is None:
        return f"{found.difference:+.2g}"
    star = "" if low <= 0 <= high else "*"
    return f"{found.difference:+.2g}{star} [{low:+.2g}, {high:+.2g}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate the settings; print the table, and write it to OUT/quality.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="held-out dataset")
    parser.add_argument("out", type=Path, help="folder of the evaluations")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=SETTINGS, help="a setting; may be repeated")
    parser.add_argument("--clips", type=int)
    parser.add_argument("--features", type=Path, metavar="FILE", help="I3D; random ones if not given")
    parser.add_argument("--workers", type=int, default=0, help="Ray actors; 0: this process")
    options = parser.parse_args(arguments)
    features = options.features or write_features(options.out / "random-features.pt")
    animator = open_bundle(options.bundle).animator().requires_grad_(False)
    trials: list[Trial] = []
    first: Path | None = None
    for name in (BASELINE, *(each for each in options.only or DEFAULT if each != BASELINE)):
        settings, report = evaluated(name, features, options)
        first = first or report
        comparison = None if report == first else compare(CompareOptions(first, report)).comparison
        trials.append(Trial(name, counted_tflop(animator, settings), read_report(report), comparison))
        print(table(trials[-1:]).splitlines()[-1], flush=True)
    write_text(options.out / "quality.md", table(trials) + "\n")


if __name__ == "__main__":
    main()
