"""``python -m tests.parity [--device cuda] CASE.json [...]``: one JSON line per output.

Exit code 0: every output passes; 1: one does not; 2: a case cannot be read (one line with the reason).
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from core.errors import AnimaticError
from tests.parity.cases import ClipCase, VideoCase, read_case
from tests.parity.clip import ClipNumbers
from tests.parity.compare import Result, compare, compare_norms
from tests.parity.video import VideoNumbers


def results(path: Path, device: str) -> Iterator[Result]:
    """Every output that the case lists, computed on ``device`` and compared.

    Raises:
        AnimaticError: where the case cannot be read, or lists what this tool does not know.
    """
    case, expected = read_case(path)
    numbers = ClipNumbers(case, device) if isinstance(case, ClipCase) else VideoNumbers(case, device)
    known = numbers.outputs()
    unknown = sorted(expected.keys() - known.keys())
    if unknown:
        raise AnimaticError(
            f"{path}: unknown output {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    for name, tensor in expected.items():
        yield compare(case.case, name, known[name](), tensor)
    if isinstance(case, VideoCase) and case.grad_norm:
        yield compare_norms(case.case, numbers.gradient_norms(), case.grad_norm)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", type=Path, metavar="CASE.json")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    # The tolerances are for one thread: sums then run in one order.
    torch.set_num_threads(1)
    failed = unreadable = False
    options = parser.parse_args(arguments)
    for path in options.cases:
        try:
            for result in results(path, options.device):
                print(json.dumps(result.line()), flush=True)
                failed |= not result.passed
        except AnimaticError as error:
            print(f"error: {error}", file=sys.stderr)
            unreadable = True
    return 2 if unreadable else int(failed)


if __name__ == "__main__":
    sys.exit(main())
