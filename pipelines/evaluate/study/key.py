"""``key.json``: read and verified."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.evaluate.study.records import StudyKey, StudyResult

KEY = "key.json"

T = TypeVar("T", StudyKey, StudyResult)
_KEY = TypeAdapter(StudyKey)


def sealed(record: T) -> T:
    """The record with the digest of everything else in it."""
    return {**record, "digest": _digest(record)}


def read_key(folder: Path) -> StudyKey:
    """The key of the study in ``folder``. Raises AnimaticError if it is missing, damaged or edited."""
    return read_sealed(
        folder / KEY, _KEY, "make the study with animatic study make, and keep its folder as it is"
    )


def read_sealed(path: Path, adapter: TypeAdapter[T], fix: str) -> T:
    """A sealed record. Raises AnimaticError, which ends in ``fix``, if it is missing, damaged or edited."""
    try:
        record = adapter.validate_json(path.read_bytes())
    except OSError as error:
        raise AnimaticError(f"{path} cannot be read ({error.strerror}): {fix}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AnimaticError(f"{path} is damaged ({where or 'JSON'}: {first['msg']}): {fix}") from error
    if record["digest"] != _digest(record):
        raise AnimaticError(f"{path} does not match its digest, it was edited: {fix}")
    return record


def _digest(record: T) -> str:
    return digest_of({name: value for name, value in record.items() if name != "digest"})
