"""Route of models."""

from __future__ import annotations

from fastapi import APIRouter

from orchestration.serving.api.documented import errors
from orchestration.serving.api.offers import listed
from orchestration.serving.api.overview import overview
from orchestration.serving.api.service import Asking, Serving
from orchestration.serving.schema import ModelList

router = APIRouter(tags=["models"])


@router.get(
    "/v1/models",
    operation_id="list_models",
    summary="List models",
    response_description="Models and limits.",
    responses=errors(),
)
def models(service: Serving, caller: Asking) -> ModelList:
    """The models that are served, the default one first; with the limits of every request."""
    return listed(overview(service), service.settings, key_required=service.access.required)
