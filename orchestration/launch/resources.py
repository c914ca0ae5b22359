"""The processors that a run needs, and whether Ray has them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.errors import AnimaticError
from orchestration.devices import device_count
from training.config import RunConfig


@dataclass(frozen=True)
class Wanted:
    """A GPU or CPU (``kind``) for each worker, in the cluster at ``address``; None: on this machine."""

    workers: int
    kind: str
    address: str | None

    def __str__(self) -> str:
        return _number(self.workers, self.kind)

    @classmethod
    def of(cls, config: RunConfig) -> Wanted:
        """Those of a run. RAY_ADDRESS counts as ``launch.address``."""
        address = config.launch.address or os.environ.get("RAY_ADDRESS")
        kind = "GPU" if config.launch.gpus_per_worker else "CPU"
        return cls(config.launch.workers, kind, None if address == "local" else address)

    def check_machine(self) -> None:
        """Raises AnimaticError where the run needs GPUs of this machine, which has none."""
        if self.kind == "GPU" and self.address is None and not device_count():
            raise AnimaticError(self._no_gpu("this machine has no GPU that torch can use"))

    def check_cluster(self) -> None:
        """Raises AnimaticError where Ray, which is connected, does not have as many, free or not."""
        total = _count(self.kind)[0]
        if self.kind == "GPU" and not total:
            raise AnimaticError(self._no_gpu("Ray has no GPU"))
        if total < self.workers:
            raise AnimaticError(
                f"launch.workers is {self.workers}, but Ray has {_number(total, self.kind)}: "
                f"--set launch.workers={max(total, 1)}, or name a larger cluster with --address"
            )

    def waiting(self) -> str:
        """What workers that do not start wait for."""
        total, free = _count(self.kind)
        if total < self.workers:
            needed, present = _number(self.workers, self.kind), _number(total, self.kind)
            return f"waiting for a node to join: the run needs {needed}, Ray has {present}"
        if free < self.workers and self._is_pending():
            return f"waiting for {_number(self.workers, self.kind)}: {free} of Ray's {total} are free"
        return f"waiting for Ray to start {_number(self.workers, 'worker')}"

    def given_up(self, waited_s: float) -> str:
        """The error of a run whose workers did not start."""
        missing = _count(self.kind)[0] < self.workers
        fix = "start a node and repeat the command, which resumes" if missing else "end what uses the cluster"
        return (
            f"no worker started within {waited_s:.0f} s ({self.waiting()}): {fix}, or wait longer with "
            "--set launch.wait_s=SECONDS"
        )

    def _is_pending(self) -> bool:
        """Whether Ray has yet to reserve the processors of the workers; reserved ones are not free either."""
        from ray.util import placement_group_table

        groups = placement_group_table().values()
        states = {group["state"] for group in groups if len(group["bundles"]) == self.workers}
        return "PENDING" in states or "CREATED" not in states

    def _no_gpu(self, cause: str) -> str:
        cluster = (
            "name a cluster that has with --address" if self.address is None else "start nodes that have"
        )
        gpus = _number(self.workers, "GPU")
        return f"the run needs {gpus}, but {cause}: train on the CPU with --gpus 0, or {cluster}"


def _number(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


def _count(kind: str) -> tuple[int, int]:
    """Processors of Ray, all and the free ones."""
    import ray

    return int(ray.cluster_resources().get(kind, 0)), int(ray.available_resources().get(kind, 0))
