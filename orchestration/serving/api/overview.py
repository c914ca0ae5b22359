"""The state of the whole service, as its replicas report it to the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestration.serving.api.service import Service
from orchestration.serving.jobs import Hold, ModelStatus, ReplicaStatus, ServedVersion

# Characters of a bundle's id that name it.
SHORTEST_ID = 8


@dataclass(frozen=True)
class Overview:
    """Replicas and models.

    Attributes:
        names: of the models that are served, as the operator has them; the first is required.
        replicas: that have a status, the lost ones too.
    """

    names: tuple[str, ...]
    replicas: Sequence[ReplicaStatus]
    holds: Sequence[Hold]

    @property
    def live(self) -> list[ReplicaStatus]:
        """The replicas that report."""
        return [replica for replica in self.replicas if replica.live]

    def statuses(self, *, live: bool) -> Iterator[ModelStatus]:
        """The models of all replicas, or of live ones."""
        for replica in self.live if live else self.replicas:
            yield from replica.models

    def served(self) -> Mapping[str, ServedVersion]:
        """The version under each name, in the order of the names: of a live replica if there is one."""
        found: dict[str, ServedVersion] = {}
        for name in self.names:
            for status in (*self.statuses(live=True), *self.statuses(live=False)):
                if status.name == name and status.serving is not None:
                    found[name] = status.serving
                    break
        return found

    def is_live(self, name: str) -> bool:
        """Whether a live replica serves this model."""
        return any(status.name == name and status.serving is not None for status in self.statuses(live=True))

    def missing(self) -> list[str]:
        """What keeps the service from being ready, in lines; none if it is ready."""
        required = self.names[0]
        if self.is_live(required):
            return []
        if not self.live:
            return ["no replica reports: it is starting, or has ended"]
        lines = []
        for replica in self.live:
            own = [status for status in replica.models if status.name == required]
            lines += [_line(replica.replica, status) for status in own]
            if not own:
                lines.append(f"{required}: replica {replica.replica} has not begun with it")
        return lines


def overview(service: Service) -> Overview:
    """Read the state now. Raises JobStoreError."""
    return Overview(tuple(service.settings.source.models), service.store.replicas(), service.store.holds())


def _line(replica: str, status: ModelStatus) -> str:
    error = f": {status.last_error}" if status.last_error else ""
    return f"{status.name}: replica {replica} is at {status.state}{error}"
