"""The programs of `make infra-check`, which tests of files for clusters call."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Inside the environment that runs the tests, whichever checkout they are from.
ENVIRONMENT = Path(sys.prefix) / "infra"
_PARSE_PROMQL = """
import json, sys, promql_parser
errors = {}
for expression in json.load(sys.stdin):
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        errors[expression] = str(error)
json.dump(errors, sys.stdout)
"""

_NAME_METRICS = """
import json, sys, promql_parser
def walk(node):
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name
    parts = [getattr(node, part, None) for part in ("lhs", "rhs", "expr", "vector_selector")]
    for part in parts + list(getattr(node, "args", [])):
        if part is not None:
            yield from walk(part)
expressions = json.load(sys.stdin)
json.dump({each: sorted(set(walk(promql_parser.parse(each)))) for each in expressions}, sys.stdout)
"""


@dataclass(frozen=True)
class Tool:
    """A program of .venv/infra, or of PATH."""

    path: Path

    def __call__(
        self, *arguments: object, text: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The outcome of the program with these arguments, ``text`` on its standard input."""
        return subprocess.run(
            [self.path, *map(str, arguments)],
            input=text,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )

    def accepts(self, *arguments: object, text: str | None = None, cwd: Path | None = None) -> str:
        """What the program prints on standard output; it must succeed."""
        result = self(*arguments, text=text, cwd=cwd)
        assert result.returncode == 0, f"{self.path.name}: {result.stdout}{result.stderr}"
        return result.stdout


def find(name: str, environment: Path = ENVIRONMENT) -> Tool:
    """The program with this name; AssertionError if it is not installed."""
    path = shutil.which(name, path=environment / "bin") or shutil.which(name)
    assert path, f"{name} is not installed: run 'make infra-check', which installs it"
    return Tool(Path(path))


def promql_errors(expressions: Iterable[str]) -> Mapping[str, str]:
    """The PromQL expressions that do not parse, each with the reason; without variables of Grafana."""
    return json.loads(find("python").accepts("-c", _PARSE_PROMQL, text=json.dumps(list(expressions))))


def metric_names(expressions: Iterable[str]) -> Mapping[str, list[str]]:
    """The metrics that each PromQL expression reads."""
    return json.loads(find("python").accepts("-c", _NAME_METRICS, text=json.dumps(list(expressions))))
