"""How CSV files are written, where it is not found from their first lines: settings."""

from pydantic import Field, field_validator

from core.config.section import Section


class CsvSettings(Section):
    """Settings of files of delimited values; null: found from the first lines of each file."""

    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="character between fields; null: a comma (a tab in .tsv), or else a semicolon, tab or "
        "bar if only that gives the header its columns",
    )
    escape: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description='character before a quote that is part of a quoted field; null: "" is such a quote, or '
        'else \\" if the file has these alone; a quote: "" in any case',
    )
    encoding: str | None = Field(
        None, description="of the text, as cp1252; null: UTF-8, or UTF-16 if the file begins as such"
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except (LookupError, ValueError, UnicodeError) as error:
                raise ValueError("is no encoding of text that Python knows; cp1252 or utf-16 are") from error
        return value
