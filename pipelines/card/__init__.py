"""The card of a dataset: ``card.json`` and ``README.md`` beside ``dataset.json``, written with every commit.

They describe the dataset to people and to hubs of models, and are no part of it or of its digest. The
package is entered through the names below.
"""

from pipelines.card.card import card_of, write_card
from pipelines.card.records import Card, Origin, Stated, read_card
from pipelines.card.settings import CardSettings
from pipelines.card.summary import summary_of

__all__ = [
    "Card",
    "CardSettings",
    "Origin",
    "Stated",
    "card_of",
    "read_card",
    "summary_of",
    "write_card",
]
