"""Routes of health and figures. They need no key, and state nothing about videos or keys."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from orchestration.serving.api.documented import errors
from orchestration.serving.api.figures import exported
from orchestration.serving.api.overview import overview
from orchestration.serving.api.service import Serving
from orchestration.serving.schema import Liveness, ServiceReadiness

router = APIRouter(tags=["service"])


@router.head("/livez", include_in_schema=False)
@router.get(
    "/livez",
    operation_id="livez",
    summary="Is the process alive",
    response_description="It is.",
    responses=errors(keys=False),
)
async def livez() -> Liveness:
    """This process answers. It depends on nothing else, so that an outage elsewhere restarts nothing here."""
    return Liveness()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Is the service ready",
    response_description="It is ready.",
    response_model=ServiceReadiness,
    responses=errors(keys=False)
    | {503: {"model": ServiceReadiness, "description": "Something is missing: no replica serves the model."}},
)
def readyz(service: Serving) -> Response:
    """Whether a live replica has rendered the smoke clip of the required model, and what is missing."""
    state = overview(service)
    missing = state.missing()
    readiness = ServiceReadiness(
        ready=not missing,
        models=[name for name in state.names if state.is_live(name)],
        replicas=len(state.live),
        missing=missing,
    )
    return JSONResponse(readiness.model_dump(), 503 if missing else 200)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses=errors(keys=False)
    | {200: {"description": "Figures of the whole service.", "content": {"text/plain": {}}}},
)
def metrics(service: Serving) -> Response:
    """Figures of the whole service for Prometheus: every replica of the API exports the same."""
    return Response(exported(service), media_type=CONTENT_TYPE_LATEST)
