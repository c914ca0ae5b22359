"""The description of the API as OpenAPI, where FastAPI does not know how the service does it."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import FastAPI

from orchestration.serving.schema import ErrorBody, VideoForm, VideoJson

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the service has keys."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, as a header."},
}
# Health and figures need no key.
_WITH_KEYS = "/v1/"


def correct_description(app: FastAPI) -> None:
    """Add the bodies that no route declares and the API keys; remove FastAPI's own errors."""
    described, lock = app.openapi, threading.Lock()
    corrected: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        with lock:  # two requests at once: FastAPI keeps its description before it is corrected
            if not corrected:
                corrected.update(_corrected(described()))
        return corrected

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _corrected(schema: dict[str, Any]) -> dict[str, Any]:
    models = schema["components"]["schemas"]
    for model in (ErrorBody, VideoForm, VideoJson):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}")
        models |= own.pop("$defs", {})
        models[model.__name__] = own
    # Invalid requests are answered with 400 and the envelope.
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    schema["components"]["securitySchemes"] = _KEYS
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
            if path.startswith(_WITH_KEYS):
                operation["security"] = [{"bearer": []}, {"key": []}]
    return schema
