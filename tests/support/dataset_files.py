"""Datasets on disk, compared byte for byte."""

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset except the lock and the timings of its units."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "timings.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
