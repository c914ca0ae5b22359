"""The network interface through which gloo connects the workers of several nodes.

By itself gloo takes the address that a node's own name resolves to, which often is 127.0.1.1: workers of
other nodes would look for it on their own.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import dataclass

from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

VARIABLE = "GLOO_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_NAME_BYTES, _ADDRESS = 15, slice(20, 24)  # of struct ifreq: name, and the IPv4 address of its sockaddr


@dataclass
class ClusterTorchConfig(TorchConfig):
    """Process groups whose workers use the address at which Ray knows their node, unless the user chose an
    interface."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What Ray Train joins the workers by."""
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: TorchConfig) -> None:
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """In a worker: have gloo use the interface with the address of Ray's node."""
    from ray.util import get_node_ip_address

    name = interface_with(get_node_ip_address())
    if name is not None:
        os.environ.setdefault(VARIABLE, name)


def interface_with(address: str) -> str | None:
    """The interface of this machine with an IPv4 address; None where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:_NAME_BYTES])
            try:
                answer = fcntl.ioctl(anything, _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an IPv4 address
            if socket.inet_ntoa(answer[_ADDRESS]) == address:
                return name
    return None
