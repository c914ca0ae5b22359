"""The network interface through which gloo connects the workers of several nodes, as Ray knows them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

from core.interfaces import GLOO_INTERFACE, interface_with


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
        worker_group.execute(_choose_interface)
        super().on_start(worker_group, backend_config)


def _choose_interface() -> None:
    """In a worker, before it joins the others."""
    from ray.util import get_node_ip_address

    name = interface_with(get_node_ip_address())
    if name is not None:
        os.environ.setdefault(GLOO_INTERFACE, name)
