"""The lineage of the demo's champion as a drawing: footage, bundles, evaluation and gate, in three rows.

Boxes have fixed positions, so lines run through the gaps between rows. The same parts are a list on narrow
screens and for readers that do not see the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.demo.figures import Figures
from orchestration.demo.trainings import TrainedStage
from orchestration.lineage import rounded_path

WIDTH, HEIGHT = 204.0, 92.0  # of a box, in SVG units
_ACROSS, _DOWN = 29.0, 44.0  # between boxes
_MARGIN = 2.0


@dataclass(frozen=True)
class Part:
    """A box: what it is, its figures, and the keys of the parts that it comes from.

    ``tone``: good, bad or plain, for its border.
    """

    key: str
    kind: str
    title: str
    detail: str
    digest: str
    column: int
    row: int
    sources: tuple[str, ...] = ()
    tone: str = "plain"

    @property
    def x(self) -> float:
        """Of its left side."""
        return _MARGIN + self.column * (WIDTH + _ACROSS)

    @property
    def y(self) -> float:
        """Of its upper side."""
        return _MARGIN + self.row * (HEIGHT + _DOWN)


@dataclass(frozen=True)
class Chain:
    """The drawing: boxes, and lines as data of SVG paths."""

    width: float
    height: float
    parts: Sequence[Part]
    lines: Sequence[str]

    def titles(self, keys: Sequence[str]) -> list[str]:
        """What parts are called where another names them as its sources."""
        return [part.title for part in self.parts if part.key in keys]


def chain_of(figures: Figures) -> Chain | None:
    """The drawing of everything that exists; None before the first stage."""
    if not figures.trainings:
        return None
    parts = [*_data_parts(figures), *_bundle_parts(figures), *_decision_parts(figures)]
    known = {part.key: part for part in parts}
    lines = [_path(known[source], part) for part in parts for source in part.sources if source in known]
    return Chain(
        width=max(part.x for part in parts) + WIDTH + _MARGIN,
        height=max(part.y for part in parts) + HEIGHT + _MARGIN,
        parts=parts,
        lines=lines,
    )


def _data_parts(figures: Figures) -> list[Part]:
    parts: list[Part] = []
    for data in figures.data:
        if data.name == "training":
            counted = f"{data.samples} samples, {data.rejected} rejected rows"
            parts += [
                Part("table", "table", "training.csv", f"{data.rows} rows", data.table_digest, 0, 0),
                Part("dataset", "dataset", "WebDataset shards", counted, data.digest, 1, 0, ("table",)),
            ]
    latents = dict.fromkeys(digest for each in figures.trainings for digest in each.latents)
    for number, digest in enumerate(latents):
        parts.append(Part(digest, "latents", "latents", "encoded once", digest, 2 + number, 0, ("dataset",)))
    return parts


def _bundle_parts(figures: Figures) -> list[Part]:
    trained = {each.bundle_id for each in figures.trainings}
    parts = [
        Part(link.id, "bundle", "prior", "text to video, shipped", link.id, 0, 1)
        for link in figures.lineage
        if link.id not in trained and link.stage == 0
    ]
    return parts + [_stage_part(each) for each in figures.trainings]


def _stage_part(trained: TrainedStage) -> Part:
    first, last = trained.fall
    return Part(
        key=trained.bundle_id,
        kind=f"bundle, {trained.name}",
        title=f"stage {trained.stage}",
        detail=f"{trained.steps} steps, loss {first:.3f} → {last:.3f}",
        digest=trained.bundle_id,
        column=trained.stage,
        row=1,
        sources=(*(trained.latents or ("dataset",)), *trained.sources),
    )


def _decision_parts(figures: Figures) -> list[Part]:
    report, gate, last = figures.evaluations.get(3), figures.gate, figures.trainings[-1]
    parts: list[Part] = []
    for data in figures.data:
        if data.name == "held-out":
            counted = f"{data.samples} samples that no stage saw"
            parts.append(Part("held-out", "dataset", "held-out shards", counted, data.digest, 2, 2))
    if report is not None:
        fidelity = report["metrics"]["first_frame_psnr"]["value"]
        counted = f"{report['protocol']['n']} clips, first frame {fidelity:.1f} dB"
        sources = ("held-out", last.bundle_id)
        parts.append(
            Part("report", "evaluation", "report of stage 3", counted, report["digest"], 3, 2, sources)
        )
    if gate is not None:
        passed = sum(check.outcome == "PASS" for check in gate.checks)
        counted = f"{passed} of {len(gate.checks)} conditions met"
        tone = "good" if gate.outcome == "PASS" else "bad"
        title = f"{gate.gate_name}: {gate.outcome}"
        parts.append(Part("gate", "gate", title, counted, gate.gate, 4, 2, ("report",), tone))
        if gate.outcome == "PASS":
            sources = (last.bundle_id, "gate")
            what = "the bundle of stage 3"
            parts.append(Part("champion", "alias", "champion", what, last.bundle_id, 4, 1, sources, "good"))
    return parts


def _path(source: Part, target: Part) -> str:
    """From box to box: straight between neighbours, otherwise through the gap below the source."""
    if source.row == target.row and target.column == source.column + 1:
        middle = source.y + HEIGHT / 2
        return rounded_path([(source.x + WIDTH, middle), (target.x, middle)])
    if source.column == target.column:
        x = source.x + WIDTH / 2
        down = target.row > source.row
        return rounded_path([(x, source.y + HEIGHT * down), (x, target.y + HEIGHT * (not down))])
    leave, enter = source.x + WIDTH / 2, target.x + WIDTH / 2
    gap = source.y + HEIGHT + _DOWN / 2 - 4
    end = target.y if target.row > source.row else target.y + HEIGHT
    if target.row == source.row:
        enter -= WIDTH / 4  # beside the line from below
    return rounded_path([(leave, source.y + HEIGHT), (leave, gap), (enter, gap), (enter, end)])
