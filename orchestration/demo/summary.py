"""What the terminal says when the demo is done: what came out, and where it is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from orchestration.demo.figures import Figures, gather
from orchestration.demo.locations import Sources, shown
from orchestration.demo.stills import FOLDER, read


def print_summary(sources: Sources, console: Console) -> None:
    """Figures as they are, and the way to everything."""
    figures = gather(sources)
    console.print()
    for line in [*_results(figures), *figures.missing]:
        console.print(line, soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, place in _places(sources, figures):
        table.add_row(name, place)
    console.print()
    console.print(table, soft_wrap=True)


def _results(figures: Figures) -> list[str]:
    lines = []
    for stage in sorted(figures.evaluations):
        fidelity, direction = figures.fidelity(stage), figures.direction(stage)
        line = f"stage {stage}: first frame {fidelity['mean']:.1f} dB PSNR" if fidelity else f"stage {stage}"
        if direction:
            line += (
                f", direction right in {direction['correct']:.0f} of {direction['n']:.0f} "
                f"({direction['accuracy']:.0%}, 95 % interval {direction['low']:.0%} to "
                f"{direction['high']:.0%}, chance {direction['chance']:.0%})"
            )
        lines.append(line)
    return lines


def _places(sources: Sources, figures: Figures) -> list[tuple[str, str]]:
    places = [("report", str(sources.page))]
    animations = read(sources.out)
    if animations is not None:
        places.append(("animations", f"{sources.out / FOLDER} (mp4, GIF, strips)"))
    if figures.trainings:
        last = figures.trainings[-1]
        places.append(("bundle", f"{shown(last.bundle)} ({last.bundle_id[:12]})"))
    store = shown(sources.ledger.path.parent / "mlflow.db")
    places.append(("training runs", f".venv/bin/mlflow ui --backend-store-uri sqlite:///{store}"))
    own = 'make animate IMAGE=my.png PROMPT="a red ball moves left"'
    places.append(("your own picture", own))
    return places
