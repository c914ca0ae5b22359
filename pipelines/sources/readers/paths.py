"""Names of values within nested columns: ``annotation.caption``."""

from collections.abc import Collection


def parent_of(path: str, columns: Collection[str]) -> str | None:
    """The column that a dotted path begins with; None if it has none, or is the name of a column itself."""
    if path in columns:
        return None
    parts = path.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
    return next((name for name in names if name in columns), None)


def has_column(path: str, columns: Collection[str]) -> bool:
    """Whether a table with these columns may have this one, or the value within one."""
    return path in columns or parent_of(path, columns) is not None
