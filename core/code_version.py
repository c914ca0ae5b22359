"""Which code runs: the version, and of a git checkout the commit and whether it was changed.

A job on a cluster runs from a package of files, which has no repository: what submits it records the version
in a variable.
"""

import functools
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

VARIABLE = "ANIMATIC_CODE_VERSION"
CHECKOUT = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 10


@functools.cache
def code_version(checkout: Path = CHECKOUT) -> str:
    """``0.1.0``; in a git checkout ``0.1.0+git.COMMIT``, with ``.dirty`` if tracked files differ from it.

    In a job, that of the checkout that it was submitted from. The first call of a process decides, since a
    checkout may change while its old code still runs.
    """
    submitted = os.environ.get(VARIABLE)
    if submitted:
        return submitted
    # The installed version names a commit in an image, from which a mounted checkout may run other code.
    installed, revision = version("animatic"), _revision(checkout)
    return installed.partition("+")[0] + revision if revision else installed


def _revision(folder: Path) -> str:
    """``+git.COMMIT`` or ``+git.COMMIT.dirty``; "" where ``folder`` is not the root of a checkout."""
    if not (folder / ".git").exists():
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if not commit or changes is None:
        return ""
    return f"+git.{commit}{'.dirty' if changes else ''}"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where git is missing, does not answer, or cannot read the repository."""
    # Within a hook of another repository, these would name that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # The code of this folder is running already, so its owner is trusted.
    options = ["-C", str(folder), "-c", f"safe.directory={folder}", "--no-optional-locks"]
    try:
        done = subprocess.run(
            ["git", *options, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
