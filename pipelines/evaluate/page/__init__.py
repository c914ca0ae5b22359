"""The page of an evaluation: ``index.html`` and a folder of clips, which need neither network nor server."""

from pipelines.evaluate.page.page import EvaluatedSystem, write_page

__all__ = ["EvaluatedSystem", "write_page"]
