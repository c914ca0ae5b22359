"""The table of an ablation, for the terminal and as ``ablation.md``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestration.workflows.ablation.records import (
    AblationRecord,
    CellRecord,
    VariantMetric,
    VariantRecord,
)
from orchestration.workflows.ablation.variants import FULL
from pipelines.evaluate.metrics import REGISTRY

_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def table(record: AblationRecord) -> tuple[list[str], list[list[str | None]]]:
    """Columns and rows: the whole method's figures, then the differences of each variant from it.

    Of a metric with several columns, the one of its name; ``ablation.json`` has all.
    """
    names = _metrics(record)
    described = {
        name: next(v["metrics"][name] for v in record["variants"] if name in v["metrics"]) for name in names
    }
    columns = ["variant", *(_heading(name, described[name]) for name in names)]
    return columns, [
        [variant["name"], *(_cell(variant, name) for name in names)] for variant in record["variants"]
    ]


def markdown(record: AblationRecord) -> str:
    """``ablation.md``: the table, what the variants are, and what the intervals are of."""
    columns, rows = table(record)
    lines = [
        f"# Ablation, preset {record['preset']}",
        "",
        *_grid(columns, rows),
        "",
        *notes(record),
        "",
        *_grid(["variant", "", "steps"], [[v["name"], v["title"], _steps(v)] for v in record["variants"]]),
        "",
    ]
    failures = [f"- {name}: {error}" for name, error in failed(record)]
    return "\n".join([*lines, *(["Failed:", "", *failures, ""] if failures else [])])


def notes(record: AblationRecord) -> list[str]:
    """What the figures are, in sentences."""
    protocol, seeds = record["protocol"], record["seeds"]
    clips = f"{protocol['n']} held-out clips" if protocol else "held-out clips"
    several = (
        f"The figures are means over {len(seeds)} seeds of training ({', '.join(map(str, seeds))}); the "
        "intervals are over clips and do not cover the choice of seeds; ablation.json lists each seed."
        if len(seeds) > 1
        else f"All variants are trained with one seed ({seeds[0]}): the intervals are over clips and do not "
        "cover the choice of the seed, so a variant that is trained with another one may differ by more."
    )
    return [
        f"First row: the whole method on {clips}. Other rows: the difference from it, paired by clip with "
        "the same noise, with 95 % intervals over clips grouped by source video; * marks those that exclude "
        "0, without correction for the number of comparisons.",
        several,
    ]


def failed(record: AblationRecord) -> list[tuple[str, str]]:
    """Cells that failed, by name, with the cause."""
    return [
        (_cell_name(record, variant, cell), cell["error"])
        for variant in record["variants"]
        for cell in variant["cells"]
        if cell["error"] is not None
    ]


def _cell_name(record: AblationRecord, variant: VariantRecord, cell: CellRecord) -> str:
    return variant["name"] if len(record["seeds"]) == 1 else f"{variant['name']} seed {cell['seed']}"


def _metrics(record: AblationRecord) -> list[str]:
    names = dict.fromkeys(name for variant in record["variants"] for name in variant["metrics"])
    return [name for name in names if name in REGISTRY]


def _heading(name: str, metric: VariantMetric) -> str:
    unit = "" if metric["unit"] in ("", "1") else f", {metric['unit']}"
    return f"{name.replace('_', ' ')}{unit} {_ARROWS[metric['better']]}".strip()


def _cell(variant: VariantRecord, name: str) -> str | None:
    metric = variant["metrics"].get(name)
    if metric is None:
        return None
    if variant["name"] == FULL.name:
        return _figure(metric["value"], metric["low"], metric["high"])
    difference = metric["difference"]
    if difference is None:  # the whole method failed
        return f"({metric['value']:.3g})"
    low, high = difference["low"], difference["high"]
    mark = "*" if low is not None and high is not None and (low > 0 or high < 0) else ""
    return _figure(difference["value"], low, high, sign="+", mark=mark)


def _figure(value: float, low: float | None, high: float | None, sign: str = "", mark: str = "") -> str:
    """A value with its interval, to the second digit of half of its width."""
    if low is None or high is None:
        return f"{value:{sign}.3g}{mark}"
    width = max((high - low) / 2, 1e-6 * abs(value)) or 1.0
    form = f"{sign}.{max(0, 1 - math.floor(math.log10(width)))}f"
    return f"{value:{form}}{mark} [{low:{form}}, {high:{form}}]"


def _steps(variant: VariantRecord) -> str | None:
    runs = next((cell["runs"] for cell in variant["cells"]), [])
    return ", ".join(f"{run['steps']} of stage {run['stage']}" for run in runs)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[str]:
    line = "| " + " | ".join(columns) + " |"
    return [
        line,
        "| " + " | ".join("---" for _ in columns) + " |",
        *("| " + " | ".join("–" if cell is None else cell for cell in row) + " |" for row in rows),
    ]
