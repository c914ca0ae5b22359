"""Writes the page of one evaluated system, or of several side by side."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import write_text
from core.pages import page_environment
from pipelines.evaluate.page.cards import cards
from pipelines.evaluate.page.charts import SIZE, distributions, losses_by_timestep
from pipelines.evaluate.page.clips_table import clips_table
from pipelines.evaluate.page.figures import figure_rows, headline
from pipelines.evaluate.page.media import MEDIA, write_media
from pipelines.evaluate.page.picks import pick_clips
from pipelines.evaluate.page.systems import degenerate_clips, labels, protocol_facts, system_facts
from pipelines.evaluate.protocols.published import published_figures
from pipelines.evaluate.records import EvaluationReport

PAGE = "index.html"
TEMPLATE = "page.html"


@dataclass(frozen=True)
class EvaluatedSystem:
    """A verified report, and the folder with the clips of its evaluation."""

    report: EvaluationReport
    folder: Path


def write_page(folder: Path, systems: Sequence[EvaluatedSystem]) -> Path:
    """Write ``index.html`` and its clips into ``folder``, replacing an earlier page; returns its path.

    A few dozen clips are displayed, chosen by their values and by their position; all are in a table. Equal
    reports give equal files.

    Args:
        systems: evaluated on the same clips. The first one is that of interest: its clips are ranked.

    Raises AnimaticError if the systems have other clips than the first, or a stored chunk is damaged.
    """
    reports = [system.report for system in systems]
    for report in reports[1:]:
        if report["protocol"] != reports[0]["protocol"]:
            raise AnimaticError(
                f"{report['system']['name']} was not evaluated by the protocol of "
                f"{reports[0]['system']['name']}, on the same clips: they have no common page"
            )
    picks = pick_clips(reports)
    media = write_media(folder / MEDIA, [system.folder for system in systems], reports[0], picks.displayed)
    page = page_environment("pipelines.evaluate.page").get_template(TEMPLATE)
    content = page.render(
        labels=labels(reports),
        headline=headline(reports[0]) if len(reports) == 1 else [],
        figures=figure_rows(reports),
        degenerate=degenerate_clips(reports),
        losses=losses_by_timestep(reports),
        distributions=distributions(reports),
        size=SIZE,
        cards=cards(reports, picks, media),
        picks=picks,
        data={
            "first": picks.first,
            "rankings": [asdict(ranking) for ranking in picks.rankings],
            "ranked": labels(reports)[0] if len(reports) > 1 else None,
        },
        table=clips_table(reports),
        protocol=protocol_facts(reports[0]),
        systems=[system_facts(report) for report in reports],
        published=published_figures(reports[0]["protocol"]["name"]),
        clips=reports[0]["protocol"]["n"],
    )
    write_text(folder / PAGE, content)
    return folder / PAGE
