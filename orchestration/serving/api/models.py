"""Routes of models."""

from __future__ import annotations

from fastapi import APIRouter

from orchestration.serving.api.documented import errors
from orchestration.serving.api.offers import listed
from orchestration.serving.api.overview import overview
from orchestration.serving.api.service import Asking, Serving
from orchestration.serving.api.submission import requested_model
from orchestration.serving.schema import ApiError, ModelInfo, ModelList

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


@router.get(
    "/v1/models/{model}",
    operation_id="get_model",
    summary="Get a model",
    response_description="The model.",
    responses=errors("model_not_found"),
)
def model(service: Serving, caller: Asking, model: str) -> ModelInfo:
    """One model, by what a request may give as `model`: its name, or the id of its bundle."""
    name, _ = requested_model(service, model)
    found = listed(overview(service), service.settings, key_required=service.access.required).data
    for info in found:
        if name in (info.id, info.bundle.id):
            return info
    raise ApiError("unavailable", f"{name} was exchanged this moment: ask again", retry_after_s=1.0)
