"""The demo's report: one self-contained page; the same clips are files in the folder ``media`` too."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

from core.files import write_text
from orchestration.demo import animated_pictures, curves, footage, gallery
from orchestration.demo.figures import Figures, gather
from orchestration.demo.outputs import STEP_TITLES, DemoOutputs
from orchestration.demo.own_pictures import OWN_LIMIT
from orchestration.workspace import display_path
from pipelines.evaluate import MetricValue

TEMPLATE = "report.html"
README_GIF = "readme.gif"
TRAINED = {
    1: "query transformer, image attention",
    2: "query transformer, spatial layers",
    3: "query transformer, spatial layers, wider first convolution",
}


class Headline(NamedTuple):
    """A figure at the top of the page: its value, what it measures, and its uncertainty."""

    value: str
    label: str
    note: str


class TimelineRow(NamedTuple):
    """A step of the demo: its seconds, and their share of the longest step's."""

    title: str
    seconds: float
    share: float


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
        gallery.readme_gif(out, animations, out / README_GIF)
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
        pairs=gallery.pairs(out, outputs.evaluations, figures.evaluations, footage.FPS / 2),
        headline=headline(figures),
        verdicts=verdicts(figures),
        trained=TRAINED,
        steps=timeline(figures),
        display_path=display_path,
    )
    write_text(outputs.page, page)
    return outputs.page


def headline(figures: Figures) -> list[Headline]:
    """The three figures at the top of the page."""
    top: list[Headline] = []
    direction, before, after = figures.direction(3), figures.fidelity(2), figures.fidelity(3)
    if direction:
        top.append(
            Headline(
                value=f"{direction.accuracy:.0%}",
                label="of held-out clips move the way their caption says",
                note=f"{direction.correct} of {direction.n}; 95 % interval {direction.low:.0%} "
                f"to {direction.high:.0%}; chance is {direction.chance:.0%}",
            )
        )
    if after:
        note = f"{_interval(after)}over {after['n']} clips"
        if before:
            note = f"stage 2, without detail guidance: {before['value']:.1f} dB; " + note
        top.append(
            Headline(
                value=f"{after['value']:.1f} dB",
                label="first frame against the picture given (PSNR)",
                note=note,
            )
        )
    if figures.seconds:
        training = sum(taken for name, taken in figures.seconds.items() if name.startswith("stage"))
        total = sum(figures.seconds.values())
        top.append(
            Headline(
                value=f"{total / 60:.0f} min",
                label="from footage to this page",
                note=f"{training / 60:.1f} minutes of it training",
            )
        )
    return top


def verdicts(figures: Figures) -> list[str]:
    """What the figures mean, in sentences, including poor results."""
    sentences = []
    direction = figures.direction(3)
    real = figures.detector(3) or figures.detector(2)
    if direction:
        chance = direction.chance
        if direction.low > chance:
            sentences.append("The text steers the motion: the whole interval is above chance.")
        else:
            sentences.append("The text does not demonstrably steer the motion: the interval includes chance.")
        if direction.still:
            sentences.append(f"{direction.still:.0f} clips do not move and count as wrong.")
    if real:
        sentences.append(
            f"The direction detector agrees with the caption of {real.correct:.0f} of "
            f"{real.n:.0f} real clips, an upper bound for generated ones."
        )
    gain = figures.gain()
    if gain is not None and gain.low is not None and gain.high is not None:
        mean, low, high = gain.value, gain.low, gain.high
        change = f"From stage 2 to stage 3 the first frame comes {abs(mean):.1f} dB"
        if low > 0:
            sentences.append(f"{change} closer to the picture, which is what detail guidance is for.")
        elif high < 0:
            sentences.append(
                f"{change} away from the picture; detail guidance should have brought it closer."
            )
        else:
            sentences.append(
                f"{change} {'closer' if mean > 0 else 'away'}, which may be chance "
                f"({low:+.1f} to {high:+.1f}); detail guidance should bring it closer."
            )
    return sentences


def timeline(figures: Figures) -> list[TimelineRow]:
    """Steps with their seconds and their share of the longest."""
    longest = max(figures.seconds.values(), default=1.0) or 1.0
    return [
        TimelineRow(STEP_TITLES.get(name, name), taken, taken / longest)
        for name, taken in figures.seconds.items()
    ]


def _embedded(path: Path) -> str:
    """A clip or picture as a data URL, so that the page can be sent alone."""
    kind = {".mp4": "video/mp4", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _interval(value: MetricValue) -> str:
    if value["low"] is None or value["high"] is None:
        return ""
    return f"95 % interval {value['low']:.1f} to {value['high']:.1f} {value['unit']} "
