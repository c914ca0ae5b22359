"""The demo's report: one self-contained page; the same clips are files in the folder ``media`` too."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

from core.files import write_text
from orchestration.demo import animated_pictures, curves, footage, gallery, lineage_chain
from orchestration.demo.clip_kinds import REAL, held_out_folders
from orchestration.demo.figures import Figures, gather
from orchestration.demo.headlines import headline, real_footage, verdicts
from orchestration.demo.lineage_chain import chain_of
from orchestration.demo.next_commands import mlflow_command, mlflow_page, next_commands
from orchestration.demo.outputs import STEP_TITLES, DemoOutputs
from orchestration.demo.own_pictures import OWN_LIMIT
from orchestration.demo.readme_gif import write_readme_gif

TEMPLATE = "report.html"
README_GIF = "readme.gif"
TRAINED = {
    1: "query transformer, image attention",
    2: "query transformer, spatial layers",
    3: "query transformer, spatial layers, wider first convolution",
}


class TimelinePart(NamedTuple):
    """What some seconds of a step were spent on; ``began`` and ``share`` are shares of the whole demo.

    The one without a name is what the others leave of the step.
    """

    name: str
    seconds: float
    began: float
    share: float


class TimelineRow(NamedTuple):
    """A step of the demo: its seconds and its parts, in order."""

    title: str
    seconds: float
    parts: list[TimelinePart]


def write(outputs: DemoOutputs) -> Path:
    """Write ``index.html`` with the clips and pictures it displays inside; the page lists what is missing."""
    from core.pages import page_environment

    out = outputs.out
    (out / gallery.FOLDER).mkdir(parents=True, exist_ok=True)
    figures = gather(outputs)
    animations = animated_pictures.read(out)
    if animations is None:
        figures.missing.append(f"No picture has been animated: {out / animated_pictures.FOLDER} is empty.")
    else:
        write_readme_gif(out, animations, out / README_GIF)
    losses = [(f"Stage {each.stage}, {each.name}", each.losses) for each in figures.trainings]
    if losses:
        curves.png(losses, out / gallery.FOLDER / "loss.png")
    environment = page_environment("orchestration.demo")
    environment.filters["embedded"] = lambda path: _embedded(out / path)
    page = environment.get_template(TEMPLATE).render(
        figures=figures,
        curves=curves.svg(losses) if losses else None,
        own=gallery.own(out, animations) if animations else [],
        own_limit=OWN_LIMIT,
        steered=gallery.steered(out, animations) if animations else [],
        pairs=gallery.pairs(
            out, outputs.evaluations, figures.evaluations, held_out_folders(out), footage.FPS / 2
        ),
        headline=headline(figures),
        verdicts=verdicts(figures),
        real_footage=real_footage(figures.kinds[3][REAL]) if REAL in figures.kinds.get(3, {}) else None,
        commands=next_commands(outputs, figures, animations),
        mlflow_command=mlflow_command(outputs),
        mlflow_page=mlflow_page,
        chain=chain_of(figures),
        box_width=lineage_chain.WIDTH,
        box_height=lineage_chain.HEIGHT,
        trained=TRAINED,
        steps=timeline(figures),
    )
    write_text(outputs.page, page)
    return outputs.page


def timeline(figures: Figures) -> list[TimelineRow]:
    """Steps one after the other, as they ran."""
    total = sum(figures.seconds.values()) or 1.0
    rows, began = [], 0.0
    for name, taken in figures.times.items():
        rest = max(0.0, taken.seconds - sum(taken.parts.values()))
        parts = []
        for part, seconds in (*taken.parts.items(), ("", rest)):
            parts.append(TimelinePart(part, seconds, began / total, seconds / total))
            began += seconds
        rows.append(TimelineRow(STEP_TITLES.get(name, name), taken.seconds, parts))
    return rows


def _embedded(path: Path) -> str:
    """A clip or picture as a data URL, so that the page can be sent alone."""
    kind = {".mp4": "video/mp4", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
