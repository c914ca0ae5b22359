"""A lineage as one self-contained HTML file: a drawn graph, and everything that is known in a list."""

from orchestration.lineage.page.page import write_page

__all__ = ["write_page"]
