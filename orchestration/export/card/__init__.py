"""The model card of an export, which a model hub accepts."""

from orchestration.export.card.card import hub_card
from orchestration.export.card.facts import CardFacts, CardFile
from orchestration.export.card.fields import CardFields, read_card_fields

__all__ = ["CardFacts", "CardFields", "CardFile", "hub_card", "read_card_fields"]
