"""The page at ``/`` and the description of the API at ``/docs``, from files of this installation alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from core.pages import page_environment
from orchestration.serving.schema import API_CODES, JOB_CODES

_PAGE = "orchestration.serving.page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
}
# blob: and data: are pictures and clips that the page itself has.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI) -> None:
    """Serve ``/`` and the files that it refers to, ``/docs`` and its style."""
    for name, file in _files().items():
        app.add_api_route(
            "/" if name == "index.html" else f"/{name}", _answering(file), include_in_schema=False
        )

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        return HTMLResponse(_described(request.app), headers=_HEADERS)

    @app.get("/docs/style.css", include_in_schema=False)
    def style() -> Response:
        content = files("core.pages").joinpath("style.css").read_bytes()
        return Response(content, media_type=_TYPES[".css"], headers=_HEADERS)


def _files() -> dict[str, Traversable]:
    """The files of the page, by name."""
    return {
        item.name: item
        for item in files(_PAGE).iterdir()
        if item.is_file() and PurePosixPath(item.name).suffix in _TYPES
    }


def _answering(file: Traversable) -> Callable[[], Response]:
    content, media_type = file.read_bytes(), _TYPES[PurePosixPath(file.name).suffix]
    return lambda: Response(content, media_type=media_type, headers=_HEADERS)


def _described(app: FastAPI) -> str:
    environment = page_environment("orchestration.serving.api")
    environment.filters |= {
        "type_name": _type_name,
        "coded": _coded,
        "as_json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    }
    return environment.get_template("docs.html").render(
        schema=app.openapi(), api_codes=API_CODES, job_codes=JOB_CODES
    )


def _coded(text: str) -> Markup:
    """A sentence with code between backticks."""
    parts = [
        Markup("<code>{}</code>" if number % 2 else "{}").format(part)
        for number, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _type_name(schema: Mapping[str, Any]) -> Markup:
    """The type of a value in words, with links to the objects of the page."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_type_name(option) for option in schema["anyOf"])
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in schema["enum"])
    if "const" in schema:
        return Markup("<code>{}</code>").format(schema["const"])
    if schema.get("type") == "array":
        return Markup("list of ") + _type_name(schema.get("items", {}))
    kind = str(schema.get("format", schema.get("type", "any value")))
    limits = [f"{sign} {schema[key]:g}" for key, sign in _LIMITS.items() if key in schema]
    return Markup("{}").format(" ".join([kind, *limits]))
