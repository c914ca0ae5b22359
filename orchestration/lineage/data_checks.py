"""Whether source tables, datasets and latents still are what their digests say."""

from __future__ import annotations

from collections.abc import Sequence

from core.storage import Folder
from orchestration.lineage.looking import Check, Looker
from pipelines.dataset.latent_records import LatentsRecord
from pipelines.dataset.records import DatasetRecord, ShardRecord
from pipelines.dataset.verify import verify
from pipelines.dataset.verify_latents import verify_latents
from pipelines.ingest import RecordedTable

# A source table up to this size is read without --deep.
SMALL_TABLE_BYTES = 64 << 20
_SIZES = "its record's digest and the sizes of its shards; --deep reads them"


def check_dataset(url: str, record: DatasetRecord, looker: Looker, *, deep: bool) -> Check:
    """Compare a dataset with its record, whose own digest was verified: sizes of shards, or all bytes."""
    if not deep:
        return _check_sizes(url, record["shards"], looker)
    return _all_bytes(looker.look(url, lambda: verify(url), size=_bytes(record["shards"])))


def check_latents(url: str, record: LatentsRecord, looker: Looker, *, deep: bool) -> Check:
    """Compare latents with their record, as :func:`check_dataset` does."""
    if not deep:
        return _check_sizes(url, record["shards"], looker)
    return _all_bytes(looker.look(url, lambda: verify_latents(url), size=_bytes(record["shards"])))


def check_table(table: RecordedTable, digest: str, looker: Looker, *, deep: bool) -> Check:
    """Compare a source table with the digest that the dataset recorded."""
    gone = looker.look(table.url, table.check_exists, absent="missing")
    if gone is not None:
        return gone
    if not deep and table.size > SMALL_TABLE_BYTES:
        same = looker.look(table.url, table.looks_unchanged, absent="changed")
        if same is True:
            return Check("not_checked", f"{table.size:,} bytes: sizes and times are as recorded; use --deep")
    found = looker.look(table.url, table.present_digest, absent="changed", size=table.size)
    if isinstance(found, Check):
        return found
    if found == digest:
        return Check("verified", "all of its bytes were read")
    return Check("changed", f"its digest is {found[:12]} now: the table was edited after the ingest")


def _check_sizes(url: str, shards: Sequence[ShardRecord], looker: Looker) -> Check:
    sizes = looker.look(url, lambda: Folder(url).sizes())
    if isinstance(sizes, Check):
        return sizes
    problems = [
        f"{shard['name']}: missing"
        if shard["name"] not in sizes
        else f"{shard['name']}: {sizes[shard['name']]:,} bytes, not {shard['bytes']:,}"
        for shard in shards
        if sizes.get(shard["name"]) != shard["bytes"]
    ]
    return Check.of_problems(problems) if problems else Check("verified", _SIZES)


def _all_bytes(problems: list[str] | Check) -> Check:
    if isinstance(problems, Check):
        return problems
    return Check.of_problems(problems) if problems else Check("verified", "all of its bytes were read")


def _bytes(shards: Sequence[ShardRecord]) -> int:
    return sum(shard["bytes"] for shard in shards)
