"""``python -m tests.mutants``: change the code in small ways and count the changes that tests notice."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.mutants.covering import CoveringTests
from tests.mutants.listed import listed_mutants
from tests.mutants.made import made_mutants
from tests.mutants.mutant import Mutant
from tests.mutants.packages import PACKAGES
from tests.mutants.score import Outcome, Scores
from tests.mutants.tree import Tree
from tests.support.paths import ROOT

_LISTED_LIMIT_S = 900.0
_LEAST_LISTED = 0.9


def main() -> None:
    """Print a line for each mutant, and the share that was noticed by package; exit 1 if it is too low."""
    options = _options()
    scores = Scores()
    with tempfile.TemporaryDirectory(prefix="mutants-", dir="/tmp") as scratch:
        tree = Tree(ROOT, Path(scratch))
        if options.kind in ("listed", "all"):
            _run_listed(tree, options.only, scores)
        if options.kind in ("made", "all"):
            for package in PACKAGES:
                if not options.only or any(part in package for part in options.only):
                    _run_made(tree, package, options, scores)
    scores.print_table()
    sys.exit(not scores.sufficient)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--kind", choices=("listed", "made", "all"), default="all")
    parser.add_argument("--only", nargs="+", default=[], help="parts of names of listed mutants or packages")
    parser.add_argument("--sample", type=int, default=30, help="machine-made mutants of a package; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    return parser.parse_args()


def _run_listed(tree: Tree, only: list[str], scores: Scores) -> None:
    for mutant in listed_mutants(tree.folder):
        if only and not any(part in f"{mutant.name} {mutant.file}" for part in only):
            continue
        stages = [(list(mutant.tests), _LISTED_LIMIT_S)]
        scores.add(f"listed: {mutant.file.split('/')[0]}", _LEAST_LISTED, _tried(tree, mutant, stages))


def _run_made(tree: Tree, package: str, options: argparse.Namespace, scores: Scores) -> None:
    mutated = PACKAGES[package]
    mutants = [
        mutant
        for file in mutated.paths(tree.folder)
        for mutant in made_mutants(tree.folder, file, mutated.tests)
    ]
    if options.sample and options.sample < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.sample)
    covering = CoveringTests(tree, mutated.tests)
    for mutant in sorted(mutants, key=lambda mutant: (mutant.file, mutant.position)):
        line = mutant.line((tree.folder / mutant.file).read_text())
        scores.add(package, mutated.least, _tried(tree, mutant, covering.stages(mutant.file, line)))


def _tried(tree: Tree, mutant: Mutant, stages: list[tuple[list[str], float]]) -> Outcome:
    """Run tests against a mutant, printing what came of it."""
    outcome = Outcome(mutant, "equivalent" if mutant.equivalent else "survived")
    if not mutant.equivalent:
        by = _noticed_by(tree, mutant, stages)
        outcome = Outcome(mutant, "noticed", by) if by else outcome
    print(f"{outcome.state:10s} {mutant.name}\n           {mutant.described(tree.folder)}", flush=True)
    if outcome.by or mutant.equivalent:
        print(f"           {outcome.by or mutant.equivalent}", flush=True)
    return outcome


def _noticed_by(tree: Tree, mutant: Mutant, stages: list[tuple[list[str], float]]) -> str:
    """The first test that fails with a mutant; "" if none does.

    Tests that do not end notice it only if they end without it: the machine may be busy.
    """
    for tests, limit in stages:
        with tree.changed(mutant.file, mutant.applied((tree.folder / mutant.file).read_text())):
            run = tree.run(tests, limit)
        if not run.ended and tree.run(tests, limit).passed:
            return f"no end within {limit:.0f} s"
        if run.ended and not run.passed:
            return run.failed or "the tests cannot be collected"
    return ""


if __name__ == "__main__":
    main()
