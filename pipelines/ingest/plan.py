"""What a dataset is made from, written beside it as ingest.json, and what a later run finds changed.

Every unit manifest in the folder is true to ingest.json. Whoever changes the plan first takes away
dataset.json, then the manifests that are no longer true, and only then writes the new plan: whatever moment
it is killed at, what is left is an unfinished dataset of one plan.
"""

import functools
import json
from dataclasses import dataclass
from typing import Any

from core.canonical_json import canonical_json, digest_of
from core.config.identity import IdentityFormat
from core.config.validation import validate
from core.errors import AnimaticError
from core.storage import Folder
from core.urls import relative_to
from pipelines.dataset.units import FORMAT, committed_units, read_units, shard_name, stored_shards, unit_name
from pipelines.ingest.original_fields import ORIGINAL_FIELDS
from pipelines.ingest.unit import IngestConfig
from pipelines.sources import SourceRow, SourceTable

# Where and how the work is done, which must not matter to the bytes that come out.
NON_IDENTITY_FIELDS = frozenset(
    {
        "source",
        "videos",
        "output",
        "workers",
        "address",
        "deadline_s",
        "decoder_memory",
        "fetch",
    }
)
# What is felt through the rows alone: units whose rows stay the same stay the same.
OF_ROWS = frozenset({"source_sha256", "columns", "where"})
# What ingest.json and dataset.json record, and so a dataset's digest.
RECORDED = IdentityFormat(ORIGINAL_FIELDS, NON_IDENTITY_FIELDS)
# What a unit's manifest records by digest: how its rows are read, and settings that are not at their default.
COLUMNS = IdentityFormat({"": ORIGINAL_FIELDS["columns"]})
UNIT_SETTINGS = IdentityFormat({"watermark": ORIGINAL_FIELDS["watermark"]}, NON_IDENTITY_FIELDS | OF_ROWS)


@dataclass(frozen=True)
class Plan:
    """``config`` decides the bytes of the dataset; ``videos`` and ``source`` are as seen from the output.

    ``rows`` and ``files`` are the table's number of rows and fingerprint when it was last read.
    """

    config: dict[str, Any]
    videos: str | None
    source: str
    rows: int | None
    files: list[list[Any]] | None

    @classmethod
    def of(cls, config: IngestConfig, table: SourceTable) -> "Plan":
        """The plan of a job; reads the whole table."""
        settings = {"source_sha256": table.digest, **_settings(config)}
        return cls(settings, *_relative_urls(config), table.count(), table.fingerprint)

    @classmethod
    def begun(cls, folder: Folder) -> "Plan | None":
        """The plan that a folder was begun with, or None if it is empty. Raises AnimaticError."""
        try:
            found = json.loads(folder.read("ingest.json"))
            source = found.get("source", {})
            config = {**found["config"], **_completed(found["config"])}
            return cls(
                config, found["videos"], source.get("place", ""), source.get("rows"), source.get("files")
            )
        except FileNotFoundError:
            foreign = [name for name in folder.names() if not name.startswith(".")]
            if foreign:
                raise AnimaticError(
                    f"{folder} is not empty and holds no ingest (found {foreign[0]}); "
                    "choose a new output folder"
                ) from None
            return None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise AnimaticError(f"{folder}/ingest.json is damaged; choose a new output folder") from error

    def write(self, folder: Folder) -> None:
        """Put the plan in place."""
        source = {"place": self.source, "rows": self.rows, "files": self.files}
        folder.write(
            "ingest.json", canonical_json({"config": self.config, "videos": self.videos, "source": source})
        )

    @functools.cached_property
    def settings(self) -> str:
        """Digest of what decides a unit besides its rows.

        Raises AnimaticError for settings of a later version, which this one would not apply.
        """
        return digest_of([UNIT_SETTINGS.values(_recorded(self.config)), self.videos])

    def source_of(self, rows: list[SourceRow]) -> dict[str, Any]:
        """What a unit is made from, as its manifest tells."""
        return {"rows": len(rows), "sha256": rows_digest(rows), "settings": self.settings}

    @property
    def units(self) -> int:
        """Number of units."""
        assert self.rows is not None
        return -(-self.rows // int(self.config["unit_rows"]))

    def fits(self, config: IngestConfig, table: SourceTable) -> bool:
        """Whether the job is this very one, told without reading the table: its files have not been touched
        since, as far as sizes and time stamps (or ETags) can tell."""
        settings = {"source_sha256": self.config.get("source_sha256"), **_settings(config)}
        same = self.config == settings and self.videos == _relative_urls(config)[0]
        return same and self.files is not None and self.files == table.fingerprint

    def changes(self, new: "Plan") -> list[str]:
        """What ``new`` has otherwise, for people."""
        return [_change(name, *values) for name, values in self._differences(new).items()]

    def only_rows_differ(self, new: "Plan") -> bool:
        """Whether units that have the same rows are the same under both plans."""
        return self._differences(new).keys() <= OF_ROWS

    def _differences(self, new: "Plan") -> dict[str, tuple[Any, Any]]:
        old, now = ({**plan.config, "videos": plan.videos} for plan in (self, new))
        names = sorted(old.keys() | now.keys())
        return {n: (old.get(n), now.get(n)) for n in names if old.get(n) != now.get(n)}


def rows_digest(rows: list[SourceRow]) -> str:
    """What a unit owes to the table: its rows, what is wrong with them, and how their columns are read."""
    names = COLUMNS.values(rows[0].columns) if rows else {}
    return digest_of([names, [[row.record, row.problem] for row in rows]])


def stale_units(folder: Folder, units: Any) -> tuple[set[int], set[int]]:
    """Committed units whose rows are no longer the table's: (changed or gone, merely continued).

    ``units`` yields (unit, rows) for the whole table as it is now.
    """
    committed = sorted(committed_units(folder))
    sources = {made["unit"]: made.get("source", {}) for made in read_units(folder, committed)}
    changed, continued = set(committed), set()
    for unit, rows in units:
        if unit not in sources:
            continue
        count, digest = sources[unit].get("rows", -1), sources[unit].get("sha256")
        if count < 0 or digest != rows_digest(rows[:count]):
            continue
        changed.discard(unit)
        if count < len(rows):
            continued.add(unit)
    return changed, continued


def withdraw(folder: Folder, units: set[int], keep_shards: int) -> None:
    """Take away dataset.json and the manifests of ``units``, and every tar from number ``keep_shards`` on."""
    folder.remove("dataset.json")
    for unit in sorted(units):
        folder.remove(unit_name(unit))
    for unit in sorted(stored_shards(folder)):
        if unit >= keep_shards:
            folder.remove(shard_name(unit))


def _settings(config: IngestConfig) -> dict[str, Any]:
    return {"format": FORMAT, **RECORDED.values(config)}


def _recorded(settings: dict[str, Any]) -> IngestConfig:
    """The configuration with these ``_settings``."""
    recorded = {name: value for name, value in settings.items() if name not in ("format", "source_sha256")}
    try:
        return validate(IngestConfig, {**recorded, "source": "", "output": ""})
    except AnimaticError as error:
        raise AnimaticError(f"ingest.json is of another version of animatic: {error}") from error


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """``_settings`` of a configuration recorded by an older version, which had fewer of them."""
    known = {name: value for name, value in config.items() if name in IngestConfig.model_fields}
    try:
        return _settings(validate(IngestConfig, {**known, "source": "", "output": ""}))
    except AnimaticError:
        # Values of a later version are compared as they are: the message then names what differs.
        return {}


def _relative_urls(config: IngestConfig) -> tuple[str | None, str]:
    """The videos and the source as seen from the output."""
    videos = None if config.videos is None else relative_to(config.videos, config.output)
    return videos, relative_to(config.source, config.output)


def _change(name: str, old: Any, new: Any) -> str:
    return "the source table changed" if name == "source_sha256" else f"{name} was {old}, is {new}"
