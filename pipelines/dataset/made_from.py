"""What a dataset was made from, if it was made of other datasets: a part of its settings and its digest."""

from typing import Literal, cast

from pydantic import JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.records import DatasetRecord, Settings

MADE_FROM = "made_from"
MADE_FROM_FILE = "made_from.json"  # written when the work begins, with the locations of the sources

Operation = Literal["merge", "split", "subset", "reshard"]


class SourceDataset(TypedDict):
    """A dataset that samples were copied from. ``settings`` are those that the result does not share."""

    digest: str
    rows: int
    samples: int
    settings: Settings


class LeftOut(TypedDict):
    """What was not copied: samples by reason, and rows of the source tables without a copied sample."""

    samples: dict[str, int]
    rows: int


class MadeFrom(TypedDict):
    """How a dataset was made of others: the operation, what decided it, and the datasets in their order."""

    operation: Operation
    parameters: dict[str, JsonValue]
    sources: list[SourceDataset]
    left_out: LeftOut


class SourceLocation(TypedDict):
    """Where a dataset was, without credentials and relative to the result if both are local."""

    url: str
    digest: str


class MadeFromFile(TypedDict):
    """made_from.json: by it a second run recognises the same work, and sources are found again."""

    operation: Operation
    parameters: dict[str, JsonValue]
    sources: list[SourceLocation]


_RECORD, _FILE = TypeAdapter(MadeFrom), TypeAdapter(MadeFromFile)


def made_from(info: DatasetRecord) -> MadeFrom | None:
    """What the dataset with this dataset.json was made from; None if it was ingested or indexed.

    Raises AnimaticError if another version of animatic wrote it.
    """
    found = info["config"].get(MADE_FROM)
    if found is None:
        return None
    try:
        return _RECORD.validate_python(found, strict=True)
    except ValidationError as error:
        raise AnimaticError(
            f"dataset {info['digest'][:12]}: {MADE_FROM} of its settings cannot be read; use the version of "
            "animatic that made it"
        ) from error


def source_locations(folder: Folder) -> list[SourceLocation]:
    """Where the datasets were that a dataset was made from; none if it was not, or if that is unknown."""
    try:
        return _FILE.validate_json(folder.read(MADE_FROM_FILE))["sources"]
    except (FileNotFoundError, ValidationError):
        return []


def shared_settings(settings: list[Settings]) -> Settings:
    """The settings that all of several datasets have, section by section."""
    first, *others = settings
    shared: Settings = {}
    for name, value in first.items():
        values = [other.get(name) for other in others]
        if isinstance(value, dict) and all(isinstance(each, dict) for each in values):
            inner = shared_settings([value, *cast(list[Settings], values)])
            if inner or not value:
                shared[name] = cast(JsonValue, inner)
        elif all(name in other and other[name] == value for other in others):
            shared[name] = value
    return shared


def own_settings(settings: Settings, shared: Settings) -> Settings:
    """What of a dataset's settings is not ``shared``."""
    own: Settings = {}
    for name, value in settings.items():
        known = shared.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            inner = own_settings(value, known)
            if inner:
                own[name] = cast(JsonValue, inner)
        elif name not in shared or known != value:
            own[name] = value
    return own
