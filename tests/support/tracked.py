"""The files of the repository, as git knows them."""

import subprocess
from pathlib import Path

from tests.support.paths import ROOT


def tracked_files(*patterns: str) -> list[Path]:
    """Files that match git's patterns, also new ones that are not ignored; all files without a pattern."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())
