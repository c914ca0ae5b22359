"""The mutants that were chosen by hand for what they would break, from the TOML files of this folder."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutant import Mutant

FOLDER = Path(__file__).parent / "listed"


def listed_mutants(root: Path) -> list[Mutant]:
    """All of them, in the order of the files. Raises ValueError for one that no longer fits the code."""
    return [mutant for path in sorted(FOLDER.glob("*.toml")) for mutant in _read(root, path)]


def _read(root: Path, path: Path) -> Iterator[Mutant]:
    for entry in tomllib.loads(path.read_text())["mutant"]:
        name, file = entry["name"], entry["file"]
        source, original = (root / file).read_text(), entry["original"].strip("\n")
        if source.count(original) != 1:
            raise ValueError(
                f"{path.name}: the original of {name} occurs {source.count(original)} times in {file}; "
                "adapt the mutant to the code"
            )
        mutant = Mutant(
            name=f"{name} {entry['what']}",
            file=file,
            position=source.index(original),
            original=original,
            replacement=entry["replacement"].strip("\n"),
            tests=tuple(entry["tests"]),
            equivalent=entry.get("equivalent", ""),
        )
        ast.parse(mutant.applied(source))
        yield mutant
