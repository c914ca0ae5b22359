"""Limits of web hosts that all workers of a job share: their state is in a Ray actor."""

from dataclasses import dataclass, replace
from typing import Any

import ray

from pipelines.cluster.connect import ensure_ray
from pipelines.fetch import FetchPolicy, HostLimits, Permission, WebAccess


@dataclass(frozen=True)
class SharedGate:
    """The way to the actor, which lives as long as one of its copies."""

    actor: Any

    async def ask(self, host: str, request: str) -> Permission:
        """See :class:`pipelines.fetch.HostLimits`."""
        permission: Permission = await self.actor.ask.remote(host, request)
        return permission

    async def end(self, host: str, request: str) -> None:
        """See :class:`pipelines.fetch.HostLimits`."""
        await self.actor.end.remote(host, request)

    async def pause(self, host: str, seconds: float) -> None:
        """See :class:`pipelines.fetch.HostLimits`."""
        await self.actor.pause.remote(host, seconds)


def with_shared_gate(access: WebAccess, policy: FetchPolicy, address: str | None) -> WebAccess:
    """The access with limits that all workers share, if the policy has any and it has not got them yet.

    Connects to Ray, or starts it, for that. Where the actor's node is lost, it starts again elsewhere, with
    nothing in progress.
    """
    if access.gate is not None or not policy.has_host_limits:
        return access
    ensure_ray(address)
    limits = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(HostLimits)
    per_host = (policy.per_host_rate, policy.per_host_total, policy.lease_s)
    return replace(access, gate=SharedGate(limits.remote(*per_host)))
