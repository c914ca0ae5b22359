"""What a dataset is made from: recorded beside it as ingest.json, and compared by later runs.

Every unit manifest in the folder agrees with ingest.json. A run with other inputs first removes dataset.json,
then the manifests that no longer hold, and only then writes its own ingest.json: whenever it is killed, an
unfinished dataset of one set of inputs remains.
"""

import functools
from dataclasses import dataclass
from typing import NotRequired

from pydantic import JsonValue
from typing_extensions import TypedDict

from core.canonical_json import canonical_json, digest_of
from core.config.identity import IdentityFormat
from core.config.validation import validate
from core.errors import AnimaticError
from core.storage import Folder
from core.urls import recordable, relative_to
from pipelines.dataset.record_files import read_job_record
from pipelines.dataset.records import FORMAT, Settings, UnitSource
from pipelines.ingest.original_fields import ORIGINAL_FIELDS
from pipelines.ingest.unit import IngestConfig
from pipelines.sources import SourceRow, SourceTable

INGEST = "ingest.json"
# Where and how the work is done, which does not change the bytes of the dataset.
NON_IDENTITY_FIELDS = frozenset(
    {
        "source",
        "layout",  # what it means is in columns
        "videos",
        "output",
        "workers",
        "address",
        "deadline_s",
        "decoder_memory",
        "fetch",
        "card",
    }
)
# What changes units through their rows alone: units whose rows stay the same stay the same.
OF_ROWS = frozenset({"source_sha256", "columns", "csv", "folder", "where"})
# What ingest.json and dataset.json record, and so a dataset's digest.
RECORDED = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS)
# What a unit's manifest records by digest: how its rows are read, and settings that are not at their default.
COLUMNS = IdentityFormat({"": ORIGINAL_FIELDS["columns"]})
UNIT_SETTINGS = IdentityFormat({"watermark": ORIGINAL_FIELDS["watermark"]}, NON_IDENTITY_FIELDS | OF_ROWS)


class TableRecord(TypedDict):
    """The source table when it was last read: its location, number of rows, and fingerprint of its files."""

    place: str
    rows: NotRequired[int | None]
    files: NotRequired[list[list[JsonValue]] | None]


class IngestRecord(TypedDict):
    """ingest.json. Locations are relative to the output if both are local. Early versions lack ``source``."""

    config: Settings
    videos: str | None
    source: NotRequired[TableRecord]


@dataclass(frozen=True)
class IngestInputs:
    """The inputs of one dataset.

    Attributes:
        config: the settings that decide its bytes, and the digest of the table.
        videos: location of the videos, relative to the output if both are local.
        source: location of the table, likewise.
        rows: number of rows of the table when it was last read; None if an earlier version recorded none.
        files: fingerprint of the table's files at that time.
    """

    config: Settings
    videos: str | None
    source: str
    rows: int | None
    files: list[list[JsonValue]] | None

    @classmethod
    def of(cls, config: IngestConfig, table: SourceTable) -> "IngestInputs":
        """The inputs of a job; reads the whole table."""
        settings: Settings = {"source_sha256": table.digest, **_settings(config)}
        return cls(settings, *_relative_urls(config), table.count(), table.fingerprint)

    @classmethod
    def recorded(cls, folder: Folder) -> "IngestInputs | None":
        """The inputs that a folder's ingest.json records, None if the folder is empty.

        Raises AnimaticError if the folder has other content, or ingest.json is damaged.
        """
        record = read_job_record(folder, INGEST, IngestRecord, "ingest")
        if record is None:
            return None
        table = record.get("source", TableRecord(place=""))
        config = {**record["config"], **_completed(record["config"])}
        return cls(config, record["videos"], table["place"], table.get("rows"), table.get("files"))

    def write(self, folder: Folder) -> None:
        """Record the inputs."""
        table: TableRecord = {"place": self.source, "rows": self.rows, "files": self.files}
        record: IngestRecord = {"config": self.config, "videos": self.videos, "source": table}
        folder.write(INGEST, canonical_json(record))

    @functools.cached_property
    def unit_settings(self) -> str:
        """Digest of what decides a unit besides its rows.

        Raises AnimaticError for settings of a later version, which this one would not apply.
        """
        return digest_of([UNIT_SETTINGS.values(recorded_config(self.config)), self.videos])

    def source_of(self, rows: list[SourceRow]) -> UnitSource:
        """What the manifest of a unit with these rows records."""
        return {"rows": len(rows), "sha256": rows_digest(rows), "settings": self.unit_settings}

    @property
    def unit_rows(self) -> int:
        """Rows of a unit."""
        return recorded_config(self.config).unit_rows

    @property
    def units(self) -> int:
        """Number of units."""
        assert self.rows is not None
        return -(-self.rows // self.unit_rows)

    def are_unchanged(self, config: IngestConfig, table: SourceTable) -> bool:
        """Whether a job has these inputs.

        The table is not read; sizes and time stamps (or ETags) of its files are compared.
        """
        settings = {"source_sha256": self.config.get("source_sha256"), **_settings(config)}
        same = self.config == settings and self.videos == _relative_urls(config)[0]
        return same and self.files is not None and self.files == table.fingerprint

    def changes(self, new: "IngestInputs") -> list[str]:
        """What differs in ``new``, for people."""
        return [_change(name, *values) for name, values in self._differences(new).items()]

    def differ_in_rows_alone(self, new: "IngestInputs") -> bool:
        """Whether units that have the same rows are the same with both inputs."""
        return self._differences(new).keys() <= OF_ROWS

    def _differences(self, new: "IngestInputs") -> dict[str, tuple[JsonValue, JsonValue]]:
        old, now = ({**inputs.config, "videos": inputs.videos} for inputs in (self, new))
        names = sorted(old.keys() | now.keys())
        return {n: (old.get(n), now.get(n)) for n in names if old.get(n) != now.get(n)}


def rows_digest(rows: list[SourceRow]) -> str:
    """Digest of what a unit takes from the table: rows, their problems, and how their columns are read."""
    names = COLUMNS.values(rows[0].columns) if rows else {}
    return digest_of([names, [_content(row) for row in rows]])


def _content(row: SourceRow) -> list[object]:
    """What a sample depends on. Most rows have no captions in other rows, and did not in earlier versions."""
    return [row.record, row.problem, *([list(row.more_captions)] if row.more_captions else [])]


def _settings(config: IngestConfig) -> Settings:
    return {"format": FORMAT, **RECORDED.values(config)}


def recorded_config(settings: Settings) -> IngestConfig:
    """The configuration with these ``_settings``."""
    recorded = {name: value for name, value in settings.items() if name not in ("format", "source_sha256")}
    try:
        return validate(IngestConfig, {**recorded, "source": "", "output": ""})
    except AnimaticError as error:
        raise AnimaticError(f"{INGEST} is of another version of animatic: {error}") from error


def _completed(config: Settings) -> Settings:
    """``_settings`` of a configuration recorded by an older version, which had fewer of them."""
    known = {name: value for name, value in config.items() if name in IngestConfig.model_fields}
    try:
        return _settings(validate(IngestConfig, {**known, "source": "", "output": ""}))
    except AnimaticError:
        # Values of a later version are compared as they are: the message then names what differs.
        return {}


def _relative_urls(config: IngestConfig) -> tuple[str | None, str]:
    """Videos and table as they are recorded: relative to the output, and without credentials."""
    videos = None if config.videos is None else recordable(relative_to(config.videos, config.output))
    return videos, recordable(relative_to(config.source, config.output))


def _change(name: str, old: JsonValue, new: JsonValue) -> str:
    return "the source table changed" if name == "source_sha256" else f"{name} was {old}, is {new}"
