"""The processors that a run needs, and whether Ray has them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.errors import AnimaticError
from orchestration.devices import device_count
from training.config import RunConfig


@dataclass(frozen=True)
class Wanted:
    """A GPU or CPU (``kind``) for each worker, in the cluster at ``address``; None: on this machine.

    ``least``: workers that an elastic run goes on with; as many as ``workers`` otherwise.
    """

    workers: int
    kind: str
    address: str | None
    least: int

    def __str__(self) -> str:
        number = _number(self.workers, self.kind)
        return number if self.least >= self.workers else f"{self.least} to {number}"

    @classmethod
    def of(cls, config: RunConfig) -> Wanted:
        """Those of a run. RAY_ADDRESS counts as ``launch.address``."""
        address = config.launch.address or os.environ.get("RAY_ADDRESS")
        kind = "GPU" if config.launch.gpus_per_worker else "CPU"
        workers = config.launch.workers
        least = config.launch.min_workers or workers
        return cls(workers, kind, None if address == "local" else address, least)

    def check_machine(self) -> None:
        """Raises AnimaticError where the run needs GPUs of this machine, which has none."""
        if self.kind == "GPU" and self.address is None and not device_count():
            raise AnimaticError(self._no_gpu("this machine has no GPU that torch can use"))

    def shortage(self) -> str | None:
        """What Ray, which is connected, lacks, free or not: nodes of a cluster may join while the run waits.

        Raises AnimaticError where that is this machine, which gets no more.
        """
        total = _count(self.kind)[0]
        if total >= self.least:
            return None
        if self.address is None:
            raise AnimaticError(
                self._no_gpu("Ray has no GPU")
                if self.kind == "GPU" and not total
                else f"launch.{self._setting} is {self.least}, but Ray has {_number(total, self.kind)}: "
                f"--set launch.{self._setting}={max(total, 1)}, or name a larger cluster with --address"
            )
        there = f"; --set launch.{self._setting}={total} trains on what it has" if total else ""
        return f"{self.waiting()}{there}"

    def waiting(self) -> str:
        """What workers that do not start wait for."""
        total, free = _count(self.kind)
        if total < self.least:
            present = _number(total, self.kind)
            return f"waiting for nodes to join: the run needs {self}, Ray has {present if total else 'none'}"
        if free < self.least and self._is_pending():
            return f"waiting for {self}: {free} of Ray's {total} are free"
        return f"waiting for Ray to start {_number(self.workers, 'worker')}"

    def given_up(self, waited_s: float) -> str:
        """The error of a run whose workers did not start."""
        missing = _count(self.kind)[0] < self.least
        fix = "start a node and repeat the command, which resumes" if missing else "end what uses the cluster"
        return (
            f"no worker started within {waited_s:.0f} s ({self.waiting()}): {fix}, or wait longer with "
            "--set launch.wait_s=SECONDS"
        )

    def resuming(self) -> str:
        """When the workers resume after a node was lost."""
        if self.least < self.workers:
            return f"with as many as Ray has processors for, {self}"
        return f"once Ray has {self} again"

    @property
    def _setting(self) -> str:
        return "min_workers" if self.least < self.workers else "workers"

    def _is_pending(self) -> bool:
        """Whether Ray has yet to reserve the processors of the workers; reserved ones are not free either."""
        from ray.util import placement_group_table

        groups = placement_group_table().values()
        sizes = range(self.least, self.workers + 1)
        states = {group["state"] for group in groups if len(group["bundles"]) in sizes}
        return "PENDING" in states or "CREATED" not in states

    def _no_gpu(self, cause: str) -> str:
        return (
            f"the run needs {self}, but {cause}: train on the CPU with --gpus 0, or name a cluster that has "
            "with --address"
        )


def _number(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


def _count(kind: str) -> tuple[int, int]:
    """Processors of Ray, all and the free ones."""
    import ray

    return int(ray.cluster_resources().get(kind, 0)), int(ray.available_resources().get(kind, 0))
