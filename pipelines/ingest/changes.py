"""Changed inputs of a dataset: which of its units no longer hold, and their removal."""

import itertools
from collections.abc import Iterable, Iterator

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.clip_units import shard_name, stored_shards
from pipelines.dataset.dataset_record import DATASET
from pipelines.dataset.records import UnitManifest, UnitSource
from pipelines.dataset.unit_facts import facts_name
from pipelines.dataset.units import committed_units, read_units, unit_name
from pipelines.ingest.inputs import IngestInputs, rows_digest
from pipelines.sources import SourceRow, SourceTable

UnitRows = tuple[int, list[SourceRow]]


def units_of(table: SourceTable, size: int, last: int) -> Iterator[UnitRows]:
    """The table's units up to number ``last``, with their rows."""
    rows = table.rows()
    for unit in range(last + 1):
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        yield unit, batch


def apply_changes(
    folder: Folder, old: IngestInputs, new: IngestInputs, table: SourceTable, replace: bool
) -> None:
    """Remove what the inputs ``old`` made and ``new`` would not.

    Without ``replace``, more than a change of the table's end raises AnimaticError and removes nothing.
    """
    committed = committed_units(folder)
    changed, continued = committed, set[int]()
    if old.differ_in_rows_alone(new):
        changed, continued = _stale_units(folder, units_of(table, new.unit_rows, max(committed, default=-1)))
    if changed and not replace:
        raise AnimaticError(
            f"{folder} was ingested with different settings: {'; '.join(old.changes(new))}; {len(changed)} "
            f"of its {len(committed)} units would be replaced; pass --replace, or choose a new output folder"
        )
    _remove(folder, changed | continued, keep_shards=new.units)


def _stale_units(folder: Folder, units: Iterable[UnitRows]) -> tuple[set[int], set[int]]:
    """Committed units whose rows are no longer the table's: (changed or removed, only continued).

    ``units`` are those of the whole table as it is now.
    """
    committed = sorted(committed_units(folder))
    sources: dict[int, UnitSource] = {
        manifest["unit"]: manifest.get("source", {})
        for manifest in read_units(folder, committed, UnitManifest)
    }
    changed, continued = set(committed), set[int]()
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


def _remove(folder: Folder, units: set[int], keep_shards: int) -> None:
    """Remove dataset.json, the manifests of ``units``, and every tar from number ``keep_shards`` on."""
    folder.remove(DATASET)
    for unit in sorted(units):
        folder.remove(unit_name(unit))
    for unit in sorted(stored_shards(folder)):
        if unit >= keep_shards:
            folder.remove(shard_name(unit))
            folder.remove(facts_name(unit))
