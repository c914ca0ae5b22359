"""Which tests reach a line: only they can notice a change of it."""

import tempfile
from pathlib import Path

from coverage import CoverageData

from tests.mutants.tree import Tree

_LIMIT_S = 1800.0


class CoveringTests:
    """The tests of one package, by the lines that they reach."""

    def __init__(self, tree: Tree, tests: tuple[str, ...]) -> None:
        """Run the tests once on the code as it is. Raises RuntimeError if one fails."""
        self._tests = tests
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "coverage"
            options = ("--cov", "--cov-context=test", "--cov-report=")
            run = tree.run(list(tests), _LIMIT_S, options, COVERAGE_FILE=str(file))
            if not run.passed:
                raise RuntimeError(f"the tests fail without any mutant: {run.failed}\n{tree.log[-2000:]}")
            data = CoverageData(str(file))
            data.read()
            self._lines = {measured: _tests_by_line(data, measured) for measured in data.measured_files()}
        self._seconds, self._folder = run.seconds, tree.folder

    def stages(self, file: str, line: int) -> list[tuple[list[str], float]]:
        """Tests to run one after the other until one fails, each with a limit in seconds.

        First those that reach the line, the fastest ahead; then all of their files, since a fixture that
        several tests share is only seen in the first; then all tests, for what runs in other processes.
        """
        lines = self._lines.get(str(self._folder / file), {})
        reached = sorted(lines.get(line, []), key=lambda test: self._seconds.get(test, 0.0))
        if not reached:
            return [(list(self._tests), self._limit(list(self._seconds)))]
        files = sorted({test.partition("::")[0] for test in reached})
        of_files = [test for test in self._seconds if test.partition("::")[0] in files]
        return [(reached, self._limit(reached)), (files, self._limit(of_files))]

    def _limit(self, tests: list[str]) -> float:
        return 60 + 10 * sum(self._seconds.get(test, 0.0) for test in tests)


def _tests_by_line(data: CoverageData, file: str) -> dict[int, list[str]]:
    """Ids of tests by line; what runs in other processes has none."""
    return {
        line: sorted({context.partition("|")[0] for context in contexts if context})
        for line, contexts in data.contexts_by_lineno(file).items()
    }
