"""The source table that a dataset was ingested from, as its ingest.json records it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.storage import Folder
from core.urls import resolve
from pipelines.ingest.inputs import INGEST, IngestInputs, recorded_config
from pipelines.ingest.table import table_of
from pipelines.sources import SourceTable, find_source


@dataclass(frozen=True)
class RecordedTable:
    """A source table when it was last read.

    Attributes:
        url: where it was: a local path or URL.
        digest: of its content.
        rows: None if an earlier version did not record their number.
        inputs: of the ingest.
    """

    url: str
    digest: str | None
    rows: int | None
    inputs: IngestInputs

    @property
    def size(self) -> int:
        """Bytes of its files, as recorded."""
        sizes = [entry[1] for entry in self.inputs.files or []]
        return sum(size for size in sizes if isinstance(size, int))

    def check_exists(self) -> None:
        """Raise AnimaticError if no file of the table is left, or its store does not answer."""
        find_source(self.url)

    def looks_unchanged(self) -> bool:
        """Whether sizes and time stamps (or ETags) of its files are the recorded ones; reads their beginning.

        Raises AnimaticError if it is gone, has other columns, or was read by a later version.
        """
        return self.inputs.files is not None and self._present.fingerprint == self.inputs.files

    def present_digest(self) -> str:
        """The digest of its present content, all of which is read. Raises AnimaticError as above."""
        return self._present.digest

    @cached_property
    def _present(self) -> SourceTable:
        config = recorded_config(self.inputs.config)
        return table_of(config.model_copy(update={"source": self.url, "videos": self.inputs.videos}))


def recorded_table(dataset: str | Path) -> RecordedTable | None:
    """The source table of the dataset at a folder or URL; None where none is recorded, as for images.

    Raises AnimaticError if ingest.json is damaged, or its store cannot be read.
    """
    folder = Folder(dataset)
    if not folder.exists(INGEST):
        return None
    inputs = IngestInputs.recorded(folder)
    if inputs is None or not inputs.source:
        return None
    digest = inputs.config.get("source_sha256")
    return RecordedTable(
        resolve(inputs.source, folder.url), digest if isinstance(digest, str) else None, inputs.rows, inputs
    )
