"""A lineage as one self-contained HTML file: a drawn graph, and everything that is known in a list."""

from orchestration.lineage.page.drawing import rounded_path
from orchestration.lineage.page.page import write_page

__all__ = ["rounded_path", "write_page"]
