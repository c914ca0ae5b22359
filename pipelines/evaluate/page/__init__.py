"""The page of an evaluation: ``index.html`` and a folder of clips, which need neither network nor server."""

from pipelines.evaluate.page.names import (
    ARROWS,
    interval,
    is_share,
    number,
    on_real,
    own_columns,
    title,
    unit,
)
from pipelines.evaluate.page.page import EvaluatedSystem, write_page

__all__ = [
    "ARROWS",
    "EvaluatedSystem",
    "interval",
    "is_share",
    "number",
    "on_real",
    "own_columns",
    "title",
    "unit",
    "write_page",
]
