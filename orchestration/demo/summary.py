"""The terminal's summary of a finished demo: results, and the paths of its outputs."""

from __future__ import annotations

from rich.console import Console

from orchestration.demo.animated_pictures import FOLDER, Animations, read
from orchestration.demo.figures import Figures, gather
from orchestration.demo.next_commands import mlflow_command
from orchestration.demo.outputs import DemoOutputs
from orchestration.demo.own_pictures import OWN_LIMIT, shortened
from orchestration.workspace import display_path


def print_summary(outputs: DemoOutputs, console: Console) -> None:
    """Print results, what is missing, and where the outputs are."""
    figures = gather(outputs)
    animations = read(outputs.out)
    for line in [*_own_results(animations), *_results(figures), *figures.missing]:
        console.print(line, markup=False, soft_wrap=True)
    locations = _locations(outputs, figures, animations)
    width = max(len(name) for name, _ in locations)
    for name, location in locations:
        # Never a table: commands must be whole to be copied.
        console.print(f"{name:<{width}}  {location}", markup=False, soft_wrap=True)


def _results(figures: Figures) -> list[str]:
    lines = [] if figures.gate is None else [f"gate {figures.gate.gate_name}: {figures.gate.outcome}"]
    for stage in sorted(figures.evaluations):
        fidelity, direction = figures.fidelity(stage), figures.direction(stage)
        line = f"stage {stage}: first frame {fidelity['value']:.1f} dB PSNR" if fidelity else f"stage {stage}"
        if direction:
            line += (
                f", direction right in {direction.correct:.0f} of {direction.n:.0f} "
                f"({direction.accuracy:.0%}, 95 % interval {direction.low:.0%} to "
                f"{direction.high:.0%}, chance {direction.chance:.0%})"
            )
        lines.append(line)
    return lines


def _own_results(animations: Animations | None) -> list[str]:
    """What became of the user's newest picture; nothing without one."""
    newest = animations.own[:1] if animations else []
    return [
        line
        for each in newest
        for line in (f"{each.name}, {shortened(each.prompt)}: {each.outcome}", OWN_LIMIT)
    ]


def _locations(
    outputs: DemoOutputs, figures: Figures, animations: Animations | None
) -> list[tuple[str, str]]:
    locations = [("report", str(outputs.page))]
    if animations is not None:
        locations += [("your animation", str(outputs.out / each.mp4)) for each in animations.own[:1]]
        locations.append(("animations", f"{outputs.out / FOLDER} (mp4, GIF, strips)"))
    if figures.trainings:
        last = figures.trainings[-1]
        locations.append(("bundle", f"{display_path(last.bundle)} ({last.bundle_id[:12]})"))
    locations.append(("training runs", mlflow_command(outputs)))
    own = 'make demo IMAGE=my.png PROMPT="a red ball moves left"'
    locations.append(("another picture" if animations and animations.own else "your own picture", own))
    locations.append(("in a browser", "make serve"))
    return locations
