"""The folder in which Ray puts its sockets and logs on this machine."""

import os
from pathlib import Path

from core.disk_errors import usable_folder
from core.errors import AnimaticError

_VARIABLES = ("RAY_TMPDIR", "TMPDIR")
_LONGEST_SOCKET_PATH = 107  # bytes: what Linux allows
_SOCKET = "/ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"


def check_temporary_folder() -> None:
    """Check that Ray can put its sockets where the environment says.

    Raises AnimaticError that names the variable if the path is too long, or cannot be written to.
    """
    name = next((name for name in _VARIABLES if os.environ.get(name)), None)
    if name is None:
        return
    folder = os.environ[name]
    length, longest = len(os.fsencode(folder)), _LONGEST_SOCKET_PATH - len(_SOCKET)
    if length > longest:
        raise AnimaticError(
            f"{name}={folder} is too long for Ray's sockets: {length} bytes, at most {longest}; set "
            "RAY_TMPDIR to a shorter path, as /tmp"
        )
    try:
        usable_folder(Path(folder))
    except AnimaticError as error:
        raise AnimaticError(f"{name}: {error}") from error


def logs_folder() -> Path:
    """The logs of the Ray that was started last."""
    folder = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "/tmp")
    return Path(folder, "ray", "session_latest", "logs")
