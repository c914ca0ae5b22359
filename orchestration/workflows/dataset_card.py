"""The card of a dataset, written again."""

from __future__ import annotations

from collections.abc import Sequence

from core.config.section import Section
from core.config.validation import configure
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from pipelines.card import Card, CardSettings, write_card


class _Settings(Section):
    """What ``--set`` names, as for ingest."""

    card: CardSettings = CardSettings()


def dataset_card(paths: Sequence[str], sets: Sequence[str] = ()) -> Card:
    """Write README.md and card.json of a dataset, with what ``sets`` state in it; returns the latter.

    Raises:
        AnimaticError: not one dataset is named, there is none, or a value does not fit.
    """
    if len(paths) != 1:
        raise AnimaticError("card takes one dataset, as in: animatic dataset card DATASET")
    settings, folder = configure(_Settings, sets=tuple(sets)), Folder(paths[0])
    if not folder.exists("dataset.json"):
        raise AnimaticError(f"no dataset at {folder}: a card describes a finished one")
    with exclusive_lock(folder, "dataset card"):
        return write_card(folder, settings.card)
