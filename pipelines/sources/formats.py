"""How the files of a source are read: for people."""

from dataclasses import dataclass

from pipelines.sources.readers import Reader


@dataclass(frozen=True)
class FileFormat:
    """How one file is read.

    Attributes:
        name: relative to the source.
        kind: csv, tsv, json, jsonl, parquet, or the kind of a listing: folder, tar, zip.
        compression: as fsspec names it; None without.
        delimiter: between fields of a table of delimited values; None in other formats, as below.
        quote: around fields.
        escape: before a quote within a quoted field; the quote itself if it is doubled.
        encoding: Python's name.
        columns: names of the columns.
    """

    name: str
    kind: str
    compression: str | None
    delimiter: str | None
    quote: str | None
    escape: str | None
    encoding: str | None
    columns: list[str]


def format_of(
    name: str, kind: str, compression: str | None, reader: Reader, columns: list[str]
) -> FileFormat:
    """The format of a file from its reader."""
    dialect = reader.dialect
    if dialect is None:
        return FileFormat(name, kind, compression, None, None, None, None, columns)
    return FileFormat(
        name, kind, compression, dialect.delimiter, '"', dialect.escape or '"', dialect.encoding, columns
    )
