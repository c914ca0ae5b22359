"""The Makefile with a command that only records what it is called with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def recording_folder(folder: Path) -> Path:
    """A folder with the Makefile, and a command that prints its arguments as JSON."""
    shutil.copy(ROOT / "Makefile", folder)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.installed"):
        (folder / name).touch()
    command = binaries / "animatic"
    command.write_text(f"#!{sys.executable} -S\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    command.chmod(0o755)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call make there, without what a surrounding make exports."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
