"""Routes for administrators."""

from __future__ import annotations

from fastapi import APIRouter

from core.code_version import code_version
from orchestration.serving.api.answers import unix
from orchestration.serving.api.documented import errors
from orchestration.serving.api.overview import Overview, overview
from orchestration.serving.api.service import Administrator, Service, Serving
from orchestration.serving.jobs import ReplicaStatus
from orchestration.serving.schema import (
    AdminStatus,
    ApiError,
    HoldInfo,
    ReplicaInfo,
    RollbackRequest,
    ServingModel,
)

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.get(
    "/status",
    operation_id="admin_status",
    summary="State of the service",
    response_description="The state.",
    responses=errors("forbidden"),
)
def status(service: Serving, caller: Administrator) -> AdminStatus:
    """Replicas, models, rollbacks in force, and the number of videos by status."""
    return _status(service, overview(service))


@router.post(
    "/rollback",
    operation_id="rollback",
    summary="Roll a model back",
    response_description="The state.",
    responses=errors("forbidden", "model_not_found", "no_former_version"),
)
def rollback(service: Serving, caller: Administrator, request: RollbackRequest) -> AdminStatus:
    """Serve the version before, on every replica, between two batches. It holds until the export's pointer
    names another version, or it is lifted; to repeat it changes nothing."""
    state = overview(service)
    if not any(hold.model == request.model for hold in state.holds):
        manifest, former = _versions(state, request.model)
        service.store.hold(request.model, manifest, former, caller.name)
    return _status(service, overview(service))


@router.delete(
    "/rollback",
    operation_id="lift_rollback",
    summary="End a rollback",
    response_description="The state.",
    responses=errors("forbidden", "not_found"),
)
def lift(service: Serving, caller: Administrator, model: str = "champion") -> AdminStatus:
    """End a rollback: replicas serve what the export's pointer names."""
    if not service.store.lift_hold(model):
        raise ApiError("not_found", f"no rollback of {model[:100]!r} is in force")
    return _status(service, overview(service))


def _versions(state: Overview, model: str) -> tuple[str, str]:
    """Manifests of what is rolled back, to which the pointer refers, and of what was served before it."""
    live = [status for status in state.statuses(live=True) if status.name == model and status.serving]
    if not live:
        raise ApiError("model_not_found", f"no model {model[:100]!r} is served", param="model")
    # While replicas exchange it one after the other, those that have done so know what it was before.
    live.sort(key=lambda status: status.serving is None or status.serving.manifest != status.desired)
    for status in live:
        if status.serving is not None and status.former is not None:
            return status.desired or status.serving.manifest, status.former
    raise ApiError("no_former_version", f"{model} was not exchanged yet: nothing to roll back to")


def _status(service: Service, state: Overview) -> AdminStatus:
    return AdminStatus(
        version=code_version(),
        jobs=service.store.count_states(),
        stored_bytes=service.store.stored_bytes(),
        replicas=[_replica(replica) for replica in state.replicas],
        holds=[
            HoldInfo(
                model=hold.model,
                manifest=hold.manifest,
                serve=hold.serve,
                since=unix(hold.since),
                actor=hold.actor,
            )
            for hold in state.holds
        ],
    )


def _replica(replica: ReplicaStatus) -> ReplicaInfo:
    return ReplicaInfo(
        id=replica.replica,
        live=replica.live,
        seen_at=unix(replica.reported),
        device=replica.device,
        memory_bytes=replica.memory_bytes,
        models=[
            ServingModel(
                name=model.name,
                state=model.state,
                serving=model.serving.manifest if model.serving else None,
                desired=model.desired,
                former=model.former,
                bundle_id=model.serving.bundle_id if model.serving else None,
                last_error=model.last_error,
            )
            for model in replica.models
        ],
    )
