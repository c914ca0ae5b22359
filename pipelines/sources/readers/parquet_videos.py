"""Parquet tables with a column of bytes, each a video: rows have their addresses, the bytes are not read."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow.parquet as pq

from core.errors import AnimaticError
from pipelines.sources.member_address import MemberAddress
from pipelines.sources.readers.lines import Line
from pipelines.sources.readers.parquet_reader import ParquetReader


class ParquetVideosReader(ParquetReader):
    """Reads all of a Parquet file but the videos in it."""

    def __init__(self, path: str, url: str, column: str, target: str) -> None:
        """Read a file.

        Args:
            path: of the file, for messages.
            url: of the file, relative to the folder of videos.
            column: of bytes, with dots between nested names.
            target: name of the column of addresses, which takes the place of one of the file.
        """
        self._path, self._url, self._column, self._target = path, url, column, target

    def columns(self, data: BinaryIO) -> list[str]:
        """Names in the schema, without surrounding blanks, and that of the addresses of videos."""
        file = pq.ParquetFile(data)
        paths = self._paths(file)
        names = [name.strip() for name in file.schema_arrow.names if _is_read(name, paths)]
        return [*(name for name in names if name != self._target), self._target]

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every row."""
        row = 0
        for batch in super().lines(data):
            lines = []
            for line in batch:
                address = str(MemberAddress(self._url, column=self._column, row=row))
                lines.append(Line({**line.record, self._target: address}, line.fault))
                row += 1
            yield lines

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some columns, alone read from the file; addresses are empty."""
        paths = self._paths(pq.ParquetFile(data))
        wanted = [name if _is_read(name, paths) and name != self._target else "\0" for name in names]
        yield from super().cells(data, wanted)

    def _paths(self, file: pq.ParquetFile) -> list[str]:
        """Paths of what is read: all but the videos. Raises AnimaticError without a column of them."""
        leaves = [file.schema.column(number) for number in range(len(file.schema))]
        of_bytes = [
            leaf.path
            for leaf in leaves
            if leaf.physical_type == "BYTE_ARRAY"
            and leaf.logical_type.type == "NONE"
            and not leaf.max_repetition_level
        ]
        if self._column not in of_bytes:
            raise AnimaticError(
                f"{self._path} has no column {self._column} of bytes: --set columns.video_bytes names it "
                f"(found: {', '.join(of_bytes)[:200] or 'none of bytes'})"
            )
        return [leaf.path for leaf in leaves if leaf.path != self._column]


def _is_read(name: str, paths: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for path in paths)
