"""Loss curves as SVG that takes its colours and fonts from the page around it, or as PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

# Stand-ins that matplotlib writes into the SVG; the page's own colours take their place.
_INK, _FAINT, _ACCENT = "#010101", "#020202", "#030303"
_PAGE = {_INK: "var(--muted)", _FAINT: "var(--line)", _ACCENT: "var(--accent)"}
_PAPER = {_INK: "#57534e", _FAINT: "#d6d3d1", _ACCENT: "#c2410c"}
_SMOOTH = 0.12  # share of the curve in one average


def svg(curves: Sequence[tuple[str, Mapping[int, float]]]) -> str:
    """Small multiples, one for each (title, step → loss), with a common vertical axis."""
    buffer = io.BytesIO()
    _draw(curves, buffer, "svg", {})
    text = buffer.getvalue().decode()
    # Without matplotlib's note about itself, which names addresses that the page has no use for.
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, variable in _PAGE.items():
        text = text.replace(colour, variable)
    return text


def png(curves: Sequence[tuple[str, Mapping[int, float]]], path: Path) -> None:
    """The same on white, for places that show no SVG."""
    with path.open("wb") as file:
        _draw(curves, file, "png", _PAPER)


def smooth(values: Sequence[float], share: float = _SMOOTH) -> np.ndarray:
    """Centred mean over a share of the values: the loss of one batch is mostly luck with its noise levels."""
    half = max(1, round(len(values) * share / 2))
    return np.array([np.mean(values[max(0, n - half) : n + half + 1]) for n in range(len(values))])


def _draw(
    curves: Sequence[tuple[str, Mapping[int, float]]], file: IO[bytes], kind: str, colours: Mapping[str, str]
) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink, faint, accent = (colours.get(name, name) for name in (_INK, _FAINT, _ACCENT))
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "animatic",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": faint,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(3.2 * len(curves), 2.5), layout="constrained")
        axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for axis, (title, losses) in zip(axes, curves, strict=True):
            steps, values = list(losses), list(losses.values())
            axis.plot(steps, values, color=accent, alpha=0.28, linewidth=1)
            axis.plot(steps, smooth(values), color=accent, linewidth=2)
            axis.set_title(title, loc="left", fontsize=10, color=ink)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", color=faint, linewidth=0.6)
            axis.tick_params(length=0)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_xlabel("optimizer steps")
        axes[0].set_ylabel("loss")
        axes[0].set_ylim(bottom=0)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, transparent=kind == "svg", dpi=150, metadata=metadata)
