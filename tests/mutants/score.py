"""The share of mutants that tests notice, by package."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from tests.mutants.mutant import Mutant

State = Literal["noticed", "survived", "equivalent"]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; ``by`` is the test that noticed it."""

    mutant: Mutant
    state: State
    by: str = ""


@dataclass
class Scores:
    """Outcomes counted by group; a group is sufficient if at least its ``least`` share was noticed."""

    _counts: dict[str, Counter[State]] = field(default_factory=dict)
    _least: dict[str, float] = field(default_factory=dict)

    def add(self, group: str, least: float, outcome: Outcome) -> None:
        """Count one mutant."""
        self._counts.setdefault(group, Counter())[outcome.state] += 1
        self._least[group] = least

    @property
    def sufficient(self) -> bool:
        """Whether every group is."""
        return all(self._share(group) >= least for group, least in self._least.items())

    def print_table(self) -> None:
        """A row for each group, in Markdown."""
        print("\n| mutants | noticed | survived | equivalent | share | least |")
        print("| --- | --- | --- | --- | --- | --- |")
        for group, counts in self._counts.items():
            numbers = " | ".join(str(counts[state]) for state in ("noticed", "survived", "equivalent"))
            print(f"| {group} | {numbers} | {self._share(group):.0%} | {self._least[group]:.0%} |")

    def _share(self, group: str) -> float:
        """Of those that can be noticed."""
        counts = self._counts[group]
        possible = counts["noticed"] + counts["survived"]
        return counts["noticed"] / possible if possible else 1.0
