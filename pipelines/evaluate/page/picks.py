"""Which clips a page displays: the best and the worst by each figure, and the first ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.evaluate.page.names import own_columns, title
from pipelines.evaluate.records import ClipRow, EvaluationReport

FIRST = 6  # clips in the evaluation's order, which no value chose
PER_END = 3  # best, and worst, by each figure
MOST = 36


@dataclass(frozen=True)
class Ranking:
    """The ends of an order of clips, by numbers of their rows.

    ``good`` and ``bad`` name the ends: best and worst, or highest and lowest where neither is better.
    """

    column: str
    title: str
    good: str
    bad: str
    best: list[int]
    worst: list[int]


@dataclass(frozen=True)
class Picks:
    """``first`` and the rankings contain numbers of rows; ``displayed`` are all of them, in order."""

    first: list[int]
    rankings: list[Ranking]
    displayed: list[int]


def pick_clips(reports: Sequence[EvaluationReport]) -> Picks:
    """At most MOST clips, ranked by the values of the first report.

    Clips of one value are in the evaluation's order.
    """
    rows = reports[0]["clips"]
    first = list(range(min(FIRST, len(rows))))
    rankings = [
        _ranking(reports[0], name)
        for name in own_columns(list(reports))
        if any(row["metrics"].get(name) is not None for row in rows)
    ]
    chosen = dict.fromkeys(first)
    for number in _by_rank(rankings):
        if len(chosen) >= MOST:
            break
        chosen.setdefault(number)
    ranked = [_only(ranking, set(chosen)) for ranking in rankings]
    return Picks(first, ranked, sorted(chosen))


def _ranking(report: EvaluationReport, column: str) -> Ranking:
    better = report["metrics"][column]["better"]
    rows = report["clips"]
    numbers = [number for number, row in enumerate(rows) if row["metrics"].get(column) is not None]
    ascending = sorted(numbers, key=lambda number: (_value(rows[number], column), number))
    descending = sorted(numbers, key=lambda number: (-_value(rows[number], column), number))
    best, worst = (ascending, descending) if better == "lower" else (descending, ascending)
    good, bad = ("Highest", "Lowest") if better == "neither" else ("Best", "Worst")
    ends = min(PER_END, len(numbers) // 2) or len(numbers)
    return Ranking(column, title(column), good, bad, best[:ends], worst[:ends])


def _value(row: ClipRow, column: str) -> float:
    value = row["metrics"][column]
    assert value is not None  # those without a value are not ranked
    return value


def _by_rank(rankings: Sequence[Ranking]) -> Iterator[int]:
    """The very best and worst by each figure, then the second ones, and so on."""
    for rank in range(PER_END):
        for ranking in rankings:
            for end in (ranking.worst, ranking.best):
                yield from end[rank : rank + 1]


def _only(ranking: Ranking, chosen: set[int]) -> Ranking:
    best, worst = ([number for number in end if number in chosen] for end in (ranking.best, ranking.worst))
    return Ranking(ranking.column, ranking.title, ranking.good, ranking.bad, best, worst)
