"""What a job on a Ray cluster runs: the command, where the cluster's Python has what it needs.

``python -m orchestration.job VERB …`` takes the arguments of ``animatic``. This module imports nothing but
the standard library until it has checked that the rest is installed.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from orchestration.job_log import LACKS_PACKAGES

_NAMED = 5


def missing_packages(project: Path) -> list[str]:
    """Dependencies that a pyproject.toml declares and this Python lacks; none without that file."""
    if not project.is_file():
        return []
    declared = tomllib.loads(project.read_text())["project"]["dependencies"]
    names = [re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in declared]
    return [name for name in names if not _is_installed(name)]


def main() -> None:
    """Run the command, or exit with ``LACKS_PACKAGES`` and a line that names them."""
    missing = missing_packages(Path(__file__).resolve().parents[1] / "pyproject.toml")
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        print(
            f"error: {sys.executable} on the cluster lacks {', '.join(missing[:_NAMED])}{more}: submit the "
            "job with --environment lock, or start the cluster from an image that has the packages of "
            "requirements.lock",
            file=sys.stderr,
        )
        sys.exit(LACKS_PACKAGES)
    from orchestration.cli import main as run_command

    run_command()


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
