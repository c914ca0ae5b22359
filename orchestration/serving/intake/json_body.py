"""application/json, without what JSON's readers accept beyond it, and without room for large structures."""

from __future__ import annotations

import json
from typing import NoReturn

from orchestration.serving.intake.raw import RawFields, given_twice
from orchestration.serving.intake.text import decoded
from orchestration.serving.schema import PICTURES, ApiError

# Besides those of a prompt; a request has about twenty.
_MOST_ELEMENTS = 500
_IMAGE_URL = "image_url"


def read_json(body: bytes, prompt_chars: int) -> RawFields:
    """The fields and pictures of a JSON object.

    Raises:
        ApiError: ``invalid_request`` or ``invalid_image``.
    """
    # An empty list costs two bytes here and dozens in memory.
    if sum(body.count(opening) for opening in (b",", b"[", b"{")) > prompt_chars + _MOST_ELEMENTS:
        raise _damaged("it has too many elements")
    text = decoded("the body", body)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise _damaged(f"{error.msg} (character {error.pos + 1})") from error
    except RecursionError as error:
        raise _damaged("it is nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise _damaged("it has a number of too many digits") from error
    if not isinstance(value, dict):
        raise _damaged("it is not an object")
    fields = RawFields()
    for name, item in value.items():
        if name not in PICTURES:
            fields.add(name, item)
        elif item is not None:
            fields.add(name, _reference(name, item))
    return fields


def _reference(name: str, item: object) -> object:
    if not isinstance(item, dict):
        return item
    unknown = next((key for key in item if key != _IMAGE_URL), None)
    if unknown is not None:
        message = f"{name} has the unknown key {unknown[:60]!r}: give {_IMAGE_URL}"
        raise ApiError("unknown_parameter", message, param=name)
    return item.get(_IMAGE_URL)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise given_twice(name)
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ApiError("invalid_request", f"the body has the value {name}, which JSON does not have")


def _damaged(problem: str) -> ApiError:
    return ApiError("invalid_request", f"the body is not JSON that can be read: {problem}")
