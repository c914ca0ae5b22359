"""What the figures say, as figures at the top of the page and in sentences that they support."""

from __future__ import annotations

from typing import NamedTuple

from orchestration.demo.clip_kinds import REAL, RENDERED, KindFigures
from orchestration.demo.figures import Figures
from pipelines.evaluate.statistics.intervals import Interval

# First frame against the picture in dB. Below the first, little but colours agrees; from the second on, the
# picture is recognised.
COARSE, RECOGNISABLE = 17.0, 22.0
# Generated clips should travel within this share of the way of the real ones.
_TRAVEL_TOLERANCE = 0.25


class Headline(NamedTuple):
    """A figure at the top of the page: its value, what it measures, and its uncertainty."""

    value: str
    label: str
    note: str


def headline(figures: Figures) -> list[Headline]:
    """The figures at the top of the page."""
    top: list[Headline] = []
    direction = figures.direction(3)
    if direction:
        top.append(
            Headline(
                value=f"{direction.accuracy:.0%}",
                label="of held-out clips move the way their caption says",
                note=f"{direction.correct} of {direction.n}; 95 % interval {direction.low:.0%} "
                f"to {direction.high:.0%}; chance is {direction.chance:.0%}",
            )
        )
    top += _first_frames(figures)
    if 3 in figures.evaluations:
        made, real = figures.travel(3)
        top.append(
            Headline(
                value=f"{made / real:.0%}" if real else "–",
                label="of the way that real clips travel",
                note=f"{made:.2f} sides of the picture; real clips {real:.2f}",
            )
        )
    if figures.seconds:
        training = sum(taken for name, taken in figures.seconds.items() if name.startswith("stage"))
        total = sum(figures.seconds.values())
        top.append(
            Headline(
                value=f"{total / 60:.1f} min",
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
        if direction.low > direction.chance:
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
    if (gain := figures.gain()) is not None:
        sentences += _gain_sentences(gain)
    return sentences


def real_footage(kind: KindFigures) -> str:
    """What the network makes of pictures of real footage, by the fidelity of first frames and the motion."""
    value = kind.first_frame.value
    if value >= RECOGNISABLE:
        reads = "what the pictures depict remains recognisable"
    elif value >= COARSE:
        reads = "coarse shapes and colours remain, details are lost"
    else:
        reads = "only colours remain"
    share = kind.travel / kind.travel_on_real if kind.travel_on_real else 1.0
    if share < 1 - _TRAVEL_TOLERANCE:
        moves = f"the clips move less than the real clips, {share:.0%} of the way"
    elif share > 1 + _TRAVEL_TOLERANCE:
        moves = f"the clips move more than the real clips, {share:.0%} of the way"
    else:
        moves = f"the clips move about as far as the real clips, {share:.0%} of the way"
    return (
        f"In the first frames of {kind.n} clips from real footage {reads} ({value:.1f} dB); {moves}. "
        "Later frames are not compared."
    )


def _first_frames(figures: Figures) -> list[Headline]:
    """Fidelity to rendered and to real pictures apart, where the table of footage names which is which."""
    if kinds := figures.kinds.get(3):
        named = {RENDERED: "rendered pictures", REAL: "pictures of real footage"}
        before = figures.kinds.get(2, {})
        return [
            Headline(
                value=f"{each.first_frame.value:.1f} dB",
                label=f"first frame against {named[kind]} (PSNR)",
                note=_note(
                    each.first_frame, each.n, before[kind].first_frame.value if kind in before else None
                ),
            )
            for kind, each in kinds.items()
        ]
    after, earlier = figures.fidelity(3), figures.fidelity(2)
    if after is None:
        return []
    interval = Interval(after["value"], after["low"], after["high"])
    note = _note(interval, after["n"], earlier["value"] if earlier else None)
    return [Headline(f"{after['value']:.1f} dB", "first frame against the picture given (PSNR)", note)]


def _note(value: Interval, n: int, before: float | None) -> str:
    note = f"{n} clips"
    if value.low is not None and value.high is not None:
        note += f"; 95 % interval {value.low:.1f} to {value.high:.1f}"
    return note if before is None else f"{note}; without detail guidance, in stage 2: {before:.1f}"


def _gain_sentences(gain: Interval) -> list[str]:
    mean, low, high = gain
    if low is None or high is None:
        return []
    change = f"From stage 2 to stage 3 the first frame comes {abs(mean):.1f} dB"
    if low > 0:
        return [f"{change} closer to the picture, which is what detail guidance is for."]
    if high < 0:
        return [f"{change} away from the picture; detail guidance should have brought it closer."]
    return [
        f"{change} {'closer' if mean > 0 else 'away'}, which may be chance "
        f"({low:+.1f} to {high:+.1f}); detail guidance should bring it closer."
    ]
