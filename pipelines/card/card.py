"""Writing the card of a dataset."""

import json
from collections.abc import Sequence
from importlib.metadata import version

from core.storage import Folder
from pipelines.card.collecting import facts_of, measures_of, most
from pipelines.card.page import MARK, readme
from pipelines.card.records import CARD_FORMAT, CARD_JSON, README, Card, Origin, Removed, Stated, read_card
from pipelines.card.settings import CardSettings
from pipelines.dataset.dataset_record import read_dataset_record
from pipelines.dataset.made_from import MADE_FROM, made_from
from pipelines.dataset.records import DatasetRecord, Takedown

_NOTHING = CardSettings()


def write_card(
    folder: Folder, settings: CardSettings = _NOTHING, origins: Sequence[Origin] | None = None
) -> Card:
    """Write card.json and README.md of a finished dataset; returns the former.

    What was stated in the card before stays unless ``settings`` states otherwise. A README.md that is not
    ours, or was taken over by its user, who removed our mark, stays as it is.

    Args:
        origins: what the cards of the datasets stated that it was made from; None keeps those of the card.

    Raises:
        AnimaticError: if there is no dataset, or a unit of it cannot be read.
    """
    card = card_of(folder, settings, origins)
    folder.write(CARD_JSON, json.dumps(card, indent=1, ensure_ascii=False).encode())
    if _is_ours(folder):
        folder.write(README, readme(card).encode())
    return card


def card_of(
    folder: Folder, settings: CardSettings = _NOTHING, origins: Sequence[Origin] | None = None
) -> Card:
    """The card that :func:`write_card` writes. Raises as it does."""
    info, before = read_dataset_record(folder), read_card(folder)
    known = before["origins"] if before else []
    origins = list(known if origins is None else origins)
    stated = settings.applied_to(before["stated"] if before else _shared(origins))
    facts = facts_of(folder, info, stated.get("license_column", ""))
    measures = measures_of(folder)
    return {
        "format": CARD_FORMAT,
        "digest": info["digest"],
        "stated": stated,
        "counts": info["counts"],
        "hours": round(measures.hours, 6),
        "bytes": sum(shard["bytes"] for shard in info["shards"]),
        "shards": len(info["shards"]),
        "ranges": measures.ranges,
        "captions": {"some": measures.with_caption, "several": facts.several_captions},
        "hosts": most(facts.hosts),
        "licences": most(facts.licences),
        "settings": {name: value for name, value in info["config"].items() if name != MADE_FROM},
        "made_from": made_from(info),
        "origins": origins,
        "takedowns": _removed(info),
        "tools": {
            "animatic": version("animatic").partition("+")[0],
            "encoders": dict(sorted(facts.encoders.items())),
        },
    }


def _removed(info: DatasetRecord) -> Removed:
    history: list[Takedown] = info.get("history", [])
    return {
        "takedowns": len(history),
        "videos": len({digest for each in history for digest in each["source_ids"]}),
        "samples": sum(each["samples"] for each in history),
    }


def _shared(origins: Sequence[Origin]) -> Stated:
    """What the cards of all origins state alike."""
    if not origins:
        return {}
    first, *others = (origin["stated"] for origin in origins)
    return {name: value for name, value in first.items() if all(o.get(name) == value for o in others)}


def _is_ours(folder: Folder) -> bool:
    """Whether README.md may be replaced."""
    try:
        return MARK.encode() in folder.read(README)
    except FileNotFoundError:
        return True
