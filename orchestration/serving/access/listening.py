"""Where a service may listen without keys: on this machine alone."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from core.errors import AnimaticError


def is_loopback(host: str) -> bool:
    """Whether an address, or the name ``localhost``, is of this machine alone."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_listening(host: str, keys: Path | None) -> None:
    """Refuse to listen to other machines without keys.

    Raises:
        AnimaticError: ``host`` is not of this machine alone, and there are no ``keys``.
    """
    if keys is None and not is_loopback(host):
        raise AnimaticError(
            f"http.host {host} is open to other machines, and the service has no API keys: create one with "
            "`animatic api-key create NAME --keys FILE`, and set http.keys to FILE"
        )
