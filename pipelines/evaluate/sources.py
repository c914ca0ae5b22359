"""Which files of evaluations have pixels of given source videos."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from pipelines.evaluate.report import REPORT
from pipelines.evaluate.storage import PROTOCOL, EvaluationFolder

_PAGE, _STUDY = "index.html", "key.json"


@dataclass(frozen=True)
class SourceFile:
    """A file with pixels of the sources, or the folder of a study; not ``certain``: its record is damaged."""

    path: Path
    certain: bool = True


def files_with_sources(root: Path, sources: frozenset[str]) -> list[SourceFile]:
    """Chunks and pages of evaluations, and folders of preference studies, below ``root``, that have clips of
    these source videos, real or generated from a frame of theirs; in order of paths."""
    found, keys = list[SourceFile](), set[str]()
    for protocol in sorted(root.rglob(PROTOCOL)):
        chunks, of_sources = _chunks_with(protocol.parent, sources)
        keys |= of_sources | _keys_in_report(protocol.parent / REPORT, sources)
        found += chunks
        page = protocol.parent / _PAGE
        if chunks and page.is_file():
            found.append(SourceFile(page, any(chunk.certain for chunk in chunks)))
    studies = [record.parent for record in sorted(root.rglob(_STUDY)) if keys & _strings_in(record)]
    return found + [SourceFile(study) for study in studies]


def _chunks_with(folder: Path, sources: frozenset[str]) -> tuple[list[SourceFile], set[str]]:
    """The chunks with clips of the sources, and the keys of these clips."""
    evaluation, found, keys = EvaluationFolder(folder), list[SourceFile](), set[str]()
    for pixels in sorted(folder.glob("chunks/chunk-*.npz")):
        try:
            clips = evaluation.chunk_record(int(pixels.stem.rpartition("-")[2]))["clips"]
        except AnimaticError:
            found.append(SourceFile(pixels, certain=False))
            continue
        matching = {clip["key"] for clip in clips if clip["source"] in sources}
        keys |= matching
        if matching:
            found.append(SourceFile(pixels))
    return found, keys


def _keys_in_report(path: Path, sources: frozenset[str]) -> set[str]:
    """Keys of a report's clips of the sources; its chunks may have been deleted."""
    try:
        rows = json.loads(path.read_bytes())["clips"]
        return {row["key"] for row in rows if row["source"] in sources}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()  # a report that is missing or damaged has no pixels


def _strings_in(path: Path) -> set[str]:
    """Every text in a JSON file; none if it is no JSON."""
    try:
        return set(_texts(json.loads(path.read_bytes())))
    except (OSError, ValueError, RecursionError):
        return set()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
