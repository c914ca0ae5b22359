"""A store of its own for each start of the processes under torchrun.

Processes find each other's addresses in a store. That of torchrun outlives them: after a restart, a process
could read there the address of one that has ended, and wait for it (pytorch/pytorch#135712).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import MutableMapping
from datetime import timedelta

from torch.distributed import DistError, TCPStore

_KEY = "animatic/store"  # in torchrun's store: port and number of the newest one of the first process
_NUMBER = "number"
_PATIENCE_S = 600  # as long as processes take to import torch, the slowest to the fastest
_CONNECT = timedelta(seconds=5)
_PAUSE_S = 0.2


def use_own_store(environment: MutableMapping[str, str]) -> TCPStore | None:
    """Have ``env://`` use a store that the first process opens, instead of torchrun's; it is to be kept until
    the processes have joined. None where torchrun shares none.

    Sets MASTER_PORT. Raises ``DistError`` or TimeoutError if the first process does not open one.
    """
    if environment.get("TORCHELASTIC_USE_AGENT_STORE") != str(True):
        return None
    host, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    shared = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_PATIENCE_S))
    own = _open(host, shared) if environment["RANK"] == "0" else _find(host, shared)
    environment["TORCHELASTIC_USE_AGENT_STORE"] = str(False)
    environment["MASTER_PORT"] = str(own.port)
    return own


def _open(host: str, shared: TCPStore) -> TCPStore:
    number = uuid.uuid4().hex
    # Multi-tenant: torch serves its own store from the same port then.
    own = TCPStore(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
    own.set(_NUMBER, number)
    shared.set(_KEY, f"{own.port} {number}")
    return own


def _find(host: str, shared: TCPStore) -> TCPStore:
    """The store that ``_open`` has opened in the first process of this start."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        port, number = shared.get(_KEY).decode().split()
        try:
            own = TCPStore(host, int(port), is_master=False, timeout=_CONNECT)
            if own.get(_NUMBER).decode() == number:
                return own
        except DistError:
            pass  # of processes that have ended
        time.sleep(_PAUSE_S)
    raise TimeoutError(f"the first process, on {host}, has opened no store within {_PATIENCE_S} s")
