"""JSON records read from files: checked against their schema, and returned unchanged."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.errors import AnimaticError
from core.storage import Folder

T = TypeVar("T")

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}  # building one takes longer than using it


class DamagedRecordError(AnimaticError):
    """A file that is not JSON, or does not have the schema of its record."""


def parse_record(schema: type[T], content: bytes, file: str, remedy: str) -> T:
    """The record in ``content``, with fields that ``schema``, a TypedDict, does not name.

    Raises DamagedRecordError, with the name of the ``file`` and the ``remedy``.
    """
    record: T = _parsed(content, file, remedy)
    _require_schema(schema, record, file, remedy)
    return record


def read_job_record(folder: Folder, name: str, schema: type[T], kind: str) -> T | None:
    """What a job recorded in its output folder when it began; None if the folder is empty.

    Raises AnimaticError if the file is damaged, or if the folder holds something else than ``kind``.
    """
    try:
        content = folder.read(name)
    except FileNotFoundError:
        others = [other for other in folder.names() if not other.startswith(".")]
        if others:
            raise AnimaticError(
                f"{folder} is not empty and holds no {kind} (found {others[0]}); choose a new output folder"
            ) from None
        return None
    return parse_record(schema, content, f"{folder}/{name}", "choose a new output folder")


def read_completion_record(
    folder: Folder, name: str, schema: type[T], *, version: int, digest: Callable[[T], str], remedy: str
) -> T:
    """The file that completes a dataset or latents: written last, with a ``digest`` of its own content.

    Raises FileNotFoundError if it is missing, DamagedRecordError also if it is not of format ``version``.
    """
    file = f"{folder}/{name}"
    found = _parsed(folder.read(name), file, remedy)
    stored_version = found.get("format") if isinstance(found, dict) else None
    if stored_version != version:
        raise DamagedRecordError(f"{file} has format {stored_version}, not {version}; {remedy}")
    _require_schema(schema, found, file, remedy)
    record: T = found
    if found["digest"] != digest(record):
        raise DamagedRecordError(f"{file} does not match its own digest; {remedy}")
    return record


def _parsed(content: bytes, file: str, remedy: str) -> Any:
    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        del content  # of a large record, one copy at a time is enough
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(f"{file} is not JSON ({error}); {remedy}") from error


def _require_schema(schema: type[T], value: object, file: str, remedy: str) -> None:
    try:
        _adapter(schema).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "content"
        raise DamagedRecordError(f"{file} is damaged ({field}: {first['msg']}); {remedy}") from error


def _adapter(schema: type[T]) -> TypeAdapter[T]:
    if schema not in _ADAPTERS:
        _ADAPTERS[schema] = TypeAdapter(schema)
    return _ADAPTERS[schema]
