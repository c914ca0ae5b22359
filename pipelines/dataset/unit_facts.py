"""facts/unit-….json: what the samples of a unit say about their origin, counted for the dataset's card.

They are written after the unit. Missing ones and those of another state of its tar are counted again from
its samples, so nothing else has to keep them up to date; they are no part of the dataset or its digest.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import cast
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from core.canonical_json import canonical_json
from core.storage import Folder
from core.urls import is_url
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.record_files import DamagedRecordError, parse_record
from pipelines.dataset.records import RowOutcome, ShardRecord, UnitManifest, UnitSource
from pipelines.dataset.samples import Sample, StoredSample

LOCAL = "local files"
_URL_COLUMN = "contentUrl"
_LICENCE_COLUMNS = ("license", "licence")
_MOST_CHARS = 200  # of a value that is counted
_COUNTED = ("hosts", "licences", "encoders")


class UnitFacts(TypedDict):
    """Numbers of samples by the host of their video, the licence of their row, and what encoded them.

    ``shard``: sha256 of the tar; ``licence_column``: the column that was read, "" for one named license or
    licence; ``several_captions``: samples with more than one.
    """

    shard: str
    licence_column: str
    hosts: dict[str, int]
    licences: dict[str, int]
    encoders: dict[str, int]
    several_captions: int


class FactsCounter:
    """Counts what KEY.json of samples records."""

    def __init__(self, licence_column: str = "") -> None:
        self._column = licence_column
        self._counts = {name: Counter[str]() for name in _COUNTED}
        self._several = 0

    def counting(self, samples: Iterable[Sample | StoredSample]) -> Iterator[Sample | StoredSample]:
        """The samples, each counted when it is taken."""
        for sample in samples:
            self.add(sample.info if isinstance(sample, Sample) else parsed_info(sample.members["json"]))
            yield sample

    def add(self, info: Mapping[str, object]) -> None:
        """Count one sample; ``info``: the content of its KEY.json."""
        found = info.get("record")
        record = cast(dict[str, str], found if isinstance(found, dict) else {})
        self._counts["hosts"][_host(record)] += 1
        licence = _licence(record, self._column)
        if licence:
            self._counts["licences"][licence[:_MOST_CHARS]] += 1
        encoders = info.get("encoders")
        for suffix, encoder in (encoders if isinstance(encoders, dict) else {}).items():
            name = encoder.get("name") if isinstance(encoder, dict) else None
            self._counts["encoders"][f"{suffix}: {name}"[:_MOST_CHARS]] += 1
        captions = info.get("captions")
        self._several += isinstance(captions, list) and len(captions) > 1

    def facts(self, shard: str) -> UnitFacts:
        """What was counted, of the tar with this sha256."""
        hosts, licences, encoders = (dict(sorted(self._counts[name].items())) for name in _COUNTED)
        return {
            "shard": shard,
            "licence_column": self._column,
            "hosts": hosts,
            "licences": licences,
            "encoders": encoders,
            "several_captions": self._several,
        }


def commit_with_facts(
    folder: Folder,
    unit: int,
    samples: Iterable[Sample | StoredSample],
    outcomes: list[RowOutcome],
    source: UnitSource,
) -> UnitManifest:
    """Commit a unit as :func:`pipelines.dataset.clip_units.commit_clips` does, then its facts."""
    counter = FactsCounter()
    manifest = commit_clips(folder, unit, counter.counting(samples), outcomes, source)
    write_facts(folder, unit, counter.facts(manifest["shard"]["sha256"]))
    return manifest


def facts_name(unit: int) -> str:
    """Name of the file of a unit's facts."""
    return f"facts/unit-{unit:06d}.json"


def write_facts(folder: Folder, unit: int, facts: UnitFacts) -> None:
    """Store the facts of a unit."""
    folder.write(facts_name(unit), canonical_json(facts))


def current_facts(folder: Folder, unit: int, shard: ShardRecord, licence_column: str) -> UnitFacts | None:
    """Facts of a unit; None if they are missing, damaged, or of another tar or another column."""
    name = facts_name(unit)
    try:
        facts = parse_record(UnitFacts, folder.read(name), f"{folder}/{name}", "write the card again")
    except (FileNotFoundError, DamagedRecordError):
        return None
    known = (facts["shard"], facts["licence_column"])
    return facts if known == (shard["sha256"], licence_column) else None


def count_facts(folder: Folder, manifest: UnitManifest, licence_column: str) -> UnitFacts:
    """Facts of a unit, counted from the samples in its tar. A KEY.json that is damaged counts as empty.

    Raises OSError if the tar cannot be read.
    """
    counter, shard = FactsCounter(licence_column), manifest["shard"]
    for row in manifest["samples"]:
        counter.add(parsed_info(folder.read_range(shard["name"], row["json_offset"], row["json_size"])))
    return counter.facts(shard["sha256"])


def parsed_info(content: bytes) -> dict[str, object]:
    """The content of a KEY.json, empty where it is damaged: `animatic verify` finds that."""
    try:
        info = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def _host(record: Mapping[str, str]) -> str:
    """Of the first URL of a row, contentUrl before others; a bucket with its scheme."""
    cells = [record.get(_URL_COLUMN, ""), *record.values()]
    for cell in cells:
        if isinstance(cell, str) and is_url(cell):
            try:
                parts = urlsplit(cell)
                host = (parts.hostname or "") if parts.scheme in ("http", "https") else parts.netloc
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and host:
                return host[:_MOST_CHARS]
            if parts.scheme not in ("", "file") and host:
                return f"{parts.scheme}://{host.rpartition('@')[2]}"[:_MOST_CHARS]
    return LOCAL


def _licence(record: Mapping[str, str], column: str) -> str:
    if column:
        return str(record.get(column, "")).strip()
    found = (value for name, value in record.items() if name.lower() in _LICENCE_COLUMNS)
    return str(next(found, "")).strip()
