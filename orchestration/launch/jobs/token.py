"""The token by which a cluster recognises its users."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

from core.disk_errors import explain
from core.errors import AnimaticError

_MODE, _TOKEN, _FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def token_headers() -> dict[str, str]:
    """The header with the token in RAY_AUTH_TOKEN, or in the file RAY_AUTH_TOKEN_PATH.

    Ray's client sends these only where RAY_AUTH_MODE is ``token``, and then that of ~/.ray/auth_token too;
    here they need no mode. Raises AnimaticError if the file cannot be read.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return {}
    token, file = os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token and file:
        try:
            token = Path(file).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = explain(error) if isinstance(error, OSError) else None
            raise AnimaticError(f"{_FILE}={file} cannot be read: {reason or error}") from error
    return {"Authorization": f"Bearer {token.strip()}"} if token else {}


def token_error(url: str, status: int) -> AnimaticError:
    """The error of a request that was answered by HTTP status 401 or 403."""
    if status == HTTPStatus.UNAUTHORIZED:
        fix = f"unset {_MODE}, and " if os.environ.get("RAY_AUTH_MODE") == "disabled" else ""
        return AnimaticError(
            f"the cluster at {url} requires a token: {fix}set {_TOKEN} to it, or {_FILE} to a file that "
            "contains it; it is in the cluster's Secret, or in ~/.ray/auth_token of its head"
        )
    source = next((name for name in (_TOKEN, _FILE) if os.environ.get(name)), "~/.ray/auth_token")
    return AnimaticError(
        f"the cluster at {url} refuses the token of {source}: set {_TOKEN} to that of the cluster"
    )
