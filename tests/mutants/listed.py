"""The mutants that were chosen by hand for what they would break, from the TOML files of this folder."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutant import Mutant

FOLDER = Path(__file__).parent / "listed"


def listed_mutants(root: Path) -> list[Mutant]:
    """All of them, in the order of the files. Raises ValueError if some no longer fit the code."""
    problems: list[str] = []
    mutants = [mutant for path in sorted(FOLDER.glob("*.toml")) for mutant in _read(root, path, problems)]
    if problems:
        raise ValueError(f"adapt the listed mutants to the code: {'; '.join(problems)}")
    return mutants


def _read(root: Path, path: Path, problems: list[str]) -> Iterator[Mutant]:
    for entry in tomllib.loads(path.read_text())["mutant"]:
        name, file = entry["name"], entry["file"]
        source = (root / file).read_text() if (root / file).is_file() else ""
        original = entry["original"].strip("\n")
        if source.count(original) != 1:
            problems.append(
                f"{path.name}: the original of {name} occurs {source.count(original)} times in {file}"
            )
            continue
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
