"""What a model card cannot know by itself: licence, authors, use: the content of ``--card FILE.yaml``."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.config.section import Section
from core.config.validation import configure
from core.errors import AnimaticError
from core.licences import OTHER, UNKNOWN, hub_licence
from core.urls import has_credentials, is_web

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|code|multilingual")
_REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


def _link(url: str) -> str:
    if not is_web(url) or re.search(r"[\s<>]", url):
        raise ValueError("this is no http or https URL")
    if has_credentials(url):
        raise ValueError("this URL contains a password or token, which a card would publish")
    return url


def _language(code: str) -> str:
    if _LANGUAGE.fullmatch(code) is None:
        raise ValueError("this is no ISO 639 code such as en or zh")
    return code


def _repository(name: str) -> str:
    if _REPOSITORY.fullmatch(name) is None:
        raise ValueError("this is no id of a repository on the hub, as ORGANISATION/NAME")
    return name


def _tag(tag: str) -> str:
    if not tag.strip() or "," in tag or "\n" in tag:
        raise ValueError("a tag is a word or two, without commas")
    return tag.strip()


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Listed = BeforeValidator(_as_list)
Languages = Annotated[tuple[Annotated[str, AfterValidator(_language)], ...], Listed]
Repositories = Annotated[tuple[Annotated[str, AfterValidator(_repository)], ...], Listed]
Tags = Annotated[tuple[Annotated[str, AfterValidator(_tag)], ...], Listed]
Names = Annotated[tuple[str, ...], Listed]


class CardFields(Section):
    """What the authors of a model state; everything may be left out."""

    license: Annotated[str, AfterValidator(hub_licence)] = Field(
        UNKNOWN,
        description="of the weights: an identifier of SPDX or of the hub; other: with a name and link",
    )
    license_name: str = Field("", max_length=100, description="of another licence")
    license_link: Annotated[str, AfterValidator(_link)] | None = Field(
        None, description="http or https URL of the licence's text"
    )
    language: Languages = Field((), description="of prompts: ISO 639 codes")
    authors: Names = Field((), description="who made the model")
    contact: str = Field("", description="where questions go: an address or URL")
    intended_use: str = Field("", description="what the model is meant for")
    out_of_scope: str = Field("", description="what it must not be used for")
    limitations: str = Field("", description="what it does badly, known biases, risks")
    datasets: Repositories = Field((), description="training data on the hub, as ORGANISATION/NAME")
    base_model: Repositories = Field((), description="models on the hub that this one continues")
    tags: Tags = Field((), description="words by which the hub finds the model")

    @model_validator(mode="after")
    def _other_licence_is_named(self) -> Self:
        if self.license == OTHER and not (self.license_name.strip() and self.license_link):
            raise ValueError("license: other needs license_name and license_link")
        if self.license != OTHER and self.license_name:
            raise ValueError(
                f"license_name names another licence, but license is {self.license}: set it to other"
            )
        return self


def read_card_fields(path: Path | None) -> CardFields:
    """The fields of a file; of no file, nothing is stated.

    Raises:
        AnimaticError: the file cannot be read, or has keys or values that no card has.
    """
    if path is None:
        return CardFields()
    try:
        return configure(CardFields, files=[path])
    except AnimaticError as error:
        named = str(path) in str(error)
        raise AnimaticError(str(error) if named else f"{path}: {error}") from error
