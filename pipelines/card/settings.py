"""What a card cannot know by itself, and its user states."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from core.config.section import Section
from core.licences import hub_licence
from core.urls import has_credentials, is_web
from pipelines.card.records import Stated


def _licence_or_none(name: str) -> str:
    return hub_licence(name) if name else name


def _link(url: str) -> str:
    if url and (not is_web(url) or re.search(r"[\s<>]", url)):
        raise ValueError("this is no http or https URL")
    if has_credentials(url):
        raise ValueError("this URL contains a password or token, which a card would publish")
    return url


def _line(text: str) -> str:
    if has_credentials(text):
        raise ValueError("this contains a URL with a password or token, which a card would publish")
    return " ".join(text.split())


Line = Annotated[str, AfterValidator(_line)]
Link = Annotated[str, AfterValidator(_link)]


class CardSettings(Section):
    """What is stated in a dataset's card; it stays there until it is stated otherwise, "" removes it."""

    title: Line | None = Field(None, max_length=200, description="name of the dataset")
    license: Annotated[str, AfterValidator(_licence_or_none)] | None = Field(
        None,
        description="of the dataset: an identifier of SPDX or of the Hugging Face hub; other: with a name",
    )
    license_name: Line | None = Field(None, max_length=200, description="of another licence")
    license_column: str | None = Field(
        None, description="column of the table with the licence of a row; null: license or licence"
    )
    source: Line | None = Field(None, max_length=1000, description="where the videos come from, in words")
    attribution: Line | None = Field(None, max_length=2000, description="who is to be named, and how")
    terms_url: Link | None = Field(None, description="http or https URL of the terms of use")

    def applied_to(self, stated: Stated) -> Stated:
        """What is stated now, where ``stated`` was before."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return {name: value for name, value in {**stated, **given}.items() if value}
