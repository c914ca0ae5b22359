"""card.json: the card of a dataset for programs."""

from pydantic import JsonValue
from typing_extensions import TypedDict

from core.storage import Folder
from pipelines.dataset.made_from import MadeFrom
from pipelines.dataset.record_files import DamagedRecordError, parse_record
from pipelines.dataset.records import Counts, Settings

CARD_JSON, README = "card.json", "README.md"
CARD_FORMAT = 1

Stated = dict[str, str]


class Counted(TypedDict):
    """A value and its number of samples."""

    value: str
    samples: int


class Most(TypedDict):
    """The most frequent values; ``others`` values have ``other_samples``."""

    most: list[Counted]
    others: int
    other_samples: int


class Captions(TypedDict):
    """Samples with a caption, and with more than one."""

    some: int
    several: int


class Origin(TypedDict):
    """A dataset that this one was made from, and what its card stated."""

    digest: str
    samples: int
    stated: Stated


class Removed(TypedDict):
    """Takedowns: their number, that of the videos, and of the samples that were removed."""

    takedowns: int
    videos: int
    samples: int


class Card(TypedDict):
    """card.json. ``ranges``: least and largest value by measure; ``made_from``: null if it was ingested."""

    format: int
    digest: str
    stated: Stated
    counts: Counts
    hours: float
    bytes: int
    shards: int
    ranges: dict[str, list[float]]
    captions: Captions
    hosts: Most
    licences: Most
    settings: Settings
    made_from: MadeFrom | None
    origins: list[Origin]
    takedowns: Removed
    tools: dict[str, JsonValue]


def read_card(folder: Folder) -> Card | None:
    """The card of a folder, of whatever state of its dataset; None if it is missing or damaged."""
    try:
        card = parse_record(Card, folder.read(CARD_JSON), f"{folder}/{CARD_JSON}", "write it again")
    except (FileNotFoundError, DamagedRecordError):
        return None
    return card if card["format"] == CARD_FORMAT else None
