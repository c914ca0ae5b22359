"""What a card counts over all samples, from the table and from the facts of units, in bounded memory."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.card.records import Most
from pipelines.dataset.records import DatasetRecord, ShardRecord, UnitManifest
from pipelines.dataset.tables import SAMPLES
from pipelines.dataset.unit_facts import UnitFacts, count_facts, current_facts, write_facts
from pipelines.dataset.units import read_unit

_RANGES = {"width": "width", "height": "height", "fps": "fps", "seconds": "duration", "frames": "frames"}
_LISTED = 20
_DISTINCT = 1_000_000  # values that are counted one by one
_TOO_MANY = "(further ones)"


@dataclass
class Facts:
    """Numbers of samples by value, over all units."""

    hosts: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    encoders: Counter[str] = field(default_factory=Counter)
    several_captions: int = 0


@dataclass
class Measures:
    """Of the table of samples: hours, samples with a caption, and least and largest values."""

    hours: float = 0.0
    with_caption: int = 0
    ranges: dict[str, list[float]] = field(default_factory=dict)


def facts_of(folder: Folder, info: DatasetRecord, licence_column: str) -> Facts:
    """Sums over the facts of all units, which are counted again where they are of another state.

    Raises AnimaticError if a unit cannot be read.
    """
    found = Facts()
    if info["config"].get("kind") == "images":
        return found
    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
        units = range(len(info["shards"]))
        for facts in pool.map(lambda n: _unit(folder, n, info["shards"][n], licence_column), units):
            for counter, values in (
                (found.hosts, facts["hosts"]),
                (found.licences, facts["licences"]),
                (found.encoders, facts["encoders"]),
            ):
                for value, number in values.items():
                    counter[value if value in counter or len(counter) < _DISTINCT else _TOO_MANY] += number
            found.several_captions += facts["several_captions"]
    return found


def measures_of(folder: Folder) -> Measures:
    """What the table of samples has. Raises AnimaticError if it cannot be read."""
    found = Measures()
    for batch in _batches(folder):
        found.hours += (pc.sum(batch["duration"]).as_py() or 0.0) / 3600
        lengths = pc.utf8_length(pc.utf8_trim_whitespace(batch["caption"]))
        found.with_caption += pc.sum(pc.greater(lengths, 0)).as_py() or 0
        for name, column in _RANGES.items():
            low, high = pc.min_max(batch[column]).as_py().values()
            if low is not None:
                least, largest = found.ranges.get(name, [low, high])
                found.ranges[name] = [min(least, low), max(largest, high)]
    return found


def most(counter: Counter[str]) -> Most:
    """The most frequent values, those of equal number in the order of the alphabet."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[_LISTED:]
    return {
        "most": [{"value": value, "samples": number} for value, number in ordered[:_LISTED]],
        "others": len(rest),
        "other_samples": sum(number for _, number in rest),
    }


def _unit(folder: Folder, unit: int, shard: ShardRecord, licence_column: str) -> UnitFacts:
    facts = current_facts(folder, unit, shard, licence_column)
    if facts is not None:
        return facts
    try:
        facts = count_facts(folder, read_unit(folder, unit, UnitManifest), licence_column)
    except OSError as error:
        raise AnimaticError(
            f"{folder}/{shard['name']} cannot be read for the dataset's card ({error}); run "
            f"`animatic verify {folder}`"
        ) from error
    write_facts(folder, unit, facts)
    return facts


def _batches(folder: Folder) -> Iterator[dict[str, object]]:
    columns = [*_RANGES.values(), "caption"]
    with folder.open(SAMPLES) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=columns):
            yield {name: batch.column(name) for name in columns}
