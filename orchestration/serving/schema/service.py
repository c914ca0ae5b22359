"""The state of the service: health, and what administrators see and do."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Liveness(_Answer):
    """The process answers."""

    alive: bool = True


class ServiceReadiness(_Answer):
    """Whether requests can be answered with clips, and what is missing where not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ready": True, "models": ["champion"], "replicas": 1, "missing": []},
                {
                    "ready": False,
                    "models": [],
                    "replicas": 1,
                    "missing": ["champion: replica a1 is fetching it"],
                },
            ]
        }
    )

    ready: bool
    models: list[str] = Field(description="names whose model has rendered a smoke clip on a live replica")
    replicas: int = Field(description="live ones")
    missing: list[str] = Field(description="one line for each thing that is missing")


class ServingModel(_Answer):
    """A model of a replica."""

    name: str
    state: str
    serving: str | None = Field(description="digest of the manifest that it answers with")
    desired: str | None = Field(description="digest of the manifest that the pointer names")
    former: str | None = Field(description="digest of the manifest that a rollback returns to")
    bundle_id: str | None = Field(description="of the serving one")
    last_error: str | None


class ReplicaInfo(_Answer):
    """A replica."""

    id: str
    live: bool
    seen_at: int = Field(description="unix seconds of its last status")
    device: str
    memory_bytes: int | None = Field(description="that its device has allocated")
    models: list[ServingModel]


class HoldInfo(_Answer):
    """A rollback that is in force: until the pointer names another export, or it is lifted."""

    model: str
    manifest: str = Field(description="digest of the manifest that is not served")
    serve: str | None = Field(description="digest of the manifest that is served instead")
    since: int = Field(description="unix seconds")
    actor: str = Field(description="name of the admin key")


class AdminStatus(_Answer):
    """Everything about the service."""

    version: str
    jobs: dict[str, int] = Field(description="number of videos by status")
    stored_bytes: int | None = Field(description="of results")
    replicas: list[ReplicaInfo]
    holds: list[HoldInfo]


class RollbackRequest(BaseModel):
    """Which model to roll back, or whose rollback to lift."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"model": "champion"}]})

    model: str = Field("champion", max_length=100)
