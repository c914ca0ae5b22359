"""One change of one file that a test should notice."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A change of the code that makes it wrong.

    Attributes:
        name: by which reports refer to it.
        file: relative to the repository.
        position: of the changed text, in characters from the start of the file.
        original, replacement: the text before and after.
        tests: files or ids of tests that may notice it; of a machine-made one, those of its package.
        equivalent: why nothing can notice it; empty if something can.
    """

    name: str
    file: str
    position: int
    original: str
    replacement: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def applied(self, source: str) -> str:
        """The source of the file with the change."""
        end = self.position + len(self.original)
        if source[self.position : end] != self.original:
            raise ValueError(f"{self.name}: {self.file} has changed since the mutant was made")
        return source[: self.position] + self.replacement + source[end:]

    def line(self, source: str) -> int:
        """Number of the line where the change begins, from 1."""
        return source.count("\n", 0, self.position) + 1

    def described(self, root: Path) -> str:
        """Such as ``pipelines/loader/order.py:98: epoch -> 0``."""
        line = self.line((root / self.file).read_text())
        before, after = (" ".join(text.split())[:60] for text in (self.original, self.replacement))
        return f"{self.file}:{line}: {before} -> {after}"
