"""What documents contain: code blocks, and the commands in them and in running text."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELLIPSIS = "…"
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_PROGRAMS = ("animatic", "make")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line, from 1."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def for_chart(self) -> bool:
        """Whether these are values of the Helm chart, which `tests/infra` checks, not a configuration."""
        return self.text.startswith("# my-values.yaml")

    @property
    def for_gate(self) -> bool:
        """Whether a YAML block is a promotion gate."""
        return self.text.startswith("# my-gate.yaml")

    @property
    def for_card(self) -> bool:
        """Whether a YAML block is what authors state in a model card, which a test of cards reads."""
        return self.text.startswith("# my-card.yaml")

    @property
    def other(self) -> bool:
        """Whether a YAML block is no configuration of a run."""
        return self.for_chart or self.for_gate or self.for_card


@dataclass(frozen=True)
class Command:
    """A command of a document; ``words`` are what a shell passes, the program (animatic or make) first.

    ``error``: the line that it prints according to the document, if it fails; ``in_block``: it can be copied.
    """

    source: str
    words: tuple[str, ...]
    in_block: bool
    error: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not any(ELLIPSIS in word for word in self.words)

    def __str__(self) -> str:
        return f"{self.source} {' '.join(self.words)}"


def blocks(document: Path) -> list[Block]:
    """All fenced blocks."""
    text = document.read_text()
    return [
        Block(document, text.count("\n", 0, found.start()) + 2, found[2], found[3])
        for found in _FENCE.finditer(text)
    ]


def commands(document: Path) -> Iterator[Command]:
    """Commands of blocks without a language, then those in running text, also inside tables."""
    for block in blocks(document):
        if block.language in ("", "sh", "bash"):
            yield from _block_commands(block)
    name = str(document.relative_to(ROOT))
    for inline in _INLINE.findall(_FENCE.sub("", document.read_text())):
        words = _words(inline.replace("\\|", "|"))
        if len(words) > 1:
            yield Command(name, words, in_block=False)


def _block_commands(block: Block) -> Iterator[Command]:
    lines = block.text.replace("\\\n", " ").splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        words = _words(line.removeprefix("$ "))
        if len(words) > 1:
            error = following if following.startswith("error: ") else ""
            yield Command(str(block), words, in_block=True, error=error)


def _words(line: str) -> tuple[str, ...]:
    """The words of a command of ours; none of any other line."""
    line = line.strip().removeprefix(".venv/bin/")
    if not line.startswith(tuple(f"{program} " for program in _PROGRAMS)):
        return ()
    return tuple(shlex.split(line.split(" →")[0], comments=True))
