"""A dashboard and its JSON, for Grafana 10 and newer.

The model is documented at https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

Json = dict[str, object]

COLUMNS = 24
_SCHEMA = 39
# Every panel reads from the Prometheus that the user chooses.
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Kind(Enum):
    """How the values of a panel are drawn."""

    CURVES = "timeseries"
    NUMBER = "stat"


@dataclass(frozen=True)
class Query:
    """A PromQL expression; ``legend`` names its series, with labels as ``{{run}}``."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """``unit`` is one of Grafana's; ``width`` is in columns of :data:`COLUMNS`, ``height`` in Grafana's rows.

    Attributes:
        low, high: bounds of the axis where they are fixed.
        logarithmic: scale of the axis.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.CURVES
    width: int = 8
    height: int = 7
    low: float | None = 0
    high: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one title, which are placed from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice of label values; all of them until the user chooses."""

    name: str
    label: str
    values_of: str


@dataclass(frozen=True)
class Dashboard:
    """``name`` is that of the file, and makes up the uid that links refer to."""

    name: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]


def as_json(dashboard: Dashboard) -> str:
    """The content of the dashboard's file."""
    content: Json = {
        "uid": f"animatic-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["animatic"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source_variable(), *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _source_variable() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": variable.values_of, "refId": variable.name},
        "refresh": 2,  # with the time range
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        left, height, top = 0, 0, top + 1
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, height, top = 0, 0, top + height
            number += 1
            yield _panel(panel, number, {"h": panel.height, "w": panel.width, "x": left, "y": top})
            left, height = left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel, number: int, position: Json) -> Json:
    defaults: Json = {"unit": panel.unit}
    if panel.low is not None:
        defaults["min"] = panel.low
    if panel.high is not None:
        defaults["max"] = panel.high
    if panel.logarithmic:
        defaults["custom"] = {"scaleDistribution": {"type": "log", "log": 10}}
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _options(kind: Kind) -> Json:
    if kind is Kind.NUMBER:
        return {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "colorMode": "none",
            "graphMode": "none",
            "textMode": "value_and_name",
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
