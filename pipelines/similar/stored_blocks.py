"""Blocks of consecutive samples: their embeddings, read from the units' files, and their leaders, as stored.

``similar/block-….arrow`` has the leaders of a block. It records a digest of what decides them: the
embeddings' source, the threshold, and all shards up to the block's end. So a dataset that has grown is
searched from its first new block on.
"""

import bisect
import hashlib
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.embeddings import UnitEmbeddings, embeddings_file, read_embeddings
from pipelines.dataset.records import ShardRecord
from pipelines.similar.leaders import Found


@dataclass(frozen=True)
class Blocks:
    """The samples of a dataset in blocks of ``size``, the last one of what is left.

    Attributes:
        source: digest that the embeddings record.
        threshold: of the search.
    """

    folder: Folder
    shards: Sequence[ShardRecord]
    source: str
    threshold: float
    size: int

    def __len__(self) -> int:
        return -(-self.samples // self.size)

    @property
    def samples(self) -> int:
        """Of the dataset."""
        return self._ends[-1] if self._ends else 0

    def rows(self, block: int) -> range:
        """Numbers of a block's samples in the dataset."""
        return range(block * self.size, min((block + 1) * self.size, self.samples))

    def embeddings(self, block: int) -> UnitEmbeddings:
        """Of a block's samples. Raises AnimaticError if those of a unit are missing."""
        rows, ends, parts = self.rows(block), self._ends, []
        for unit in range(bisect.bisect_right(ends, rows.start), bisect.bisect_left(ends, rows.stop) + 1):
            begin = ends[unit] - self.shards[unit]["samples"]
            found = read_embeddings(self.folder, unit, self.shards[unit], self.source)
            if found is None:
                raise AnimaticError(
                    f"{self.folder}/{embeddings_file(unit)} is missing, damaged or of another model: another "
                    "job wrote here meanwhile; run this one again"
                )
            mine = slice(max(0, rows.start - begin), rows.stop - begin)
            parts.append(UnitEmbeddings(found.values[mine], found.known[mine]))
        return UnitEmbeddings(
            np.concatenate([part.values for part in parts]), np.concatenate([part.known for part in parts])
        )

    def write(self, block: int, found: Found) -> None:
        """Store the leaders of a block."""
        table = pa.table({"leader": found.leader, "cosine": found.cosine})
        table = table.replace_schema_metadata({"source": self._digest(block)})
        buffer = io.BytesIO()
        with pa.ipc.new_file(buffer, table.schema) as writer:
            writer.write_table(table)
        self.folder.write(_file(block), buffer.getvalue())

    def read(self, block: int) -> Found | None:
        """The leaders of a block; None if they are missing, damaged or of something else."""
        try:
            table = pa.ipc.open_file(io.BytesIO(self.folder.read(_file(block)))).read_all()
        except (FileNotFoundError, pa.ArrowException):
            return None
        metadata = table.schema.metadata or {}
        is_whole = table.schema.names == ["leader", "cosine"] and len(table) == len(self.rows(block))
        if not is_whole or metadata.get(b"source") != self._digest(block).encode():
            return None
        return Found(table["leader"].to_numpy(), table["cosine"].to_numpy())

    @cached_property
    def _ends(self) -> list[int]:
        """Samples up to the end of each shard."""
        return list(itertools.accumulate(shard["samples"] for shard in self.shards))

    @cached_property
    def _shards_before(self) -> list[str]:
        """For each block a digest of the shards that its samples and those before them are in."""
        digest, digests, done = hashlib.sha256(), list[str](), 0
        for block in range(len(self)):
            needed = bisect.bisect_left(self._ends, self.rows(block).stop) + 1
            for unit in range(done, needed):
                digest.update(self.shards[unit]["sha256"].encode())
            done = max(done, needed)
            digests.append(digest.hexdigest())
        return digests

    def _digest(self, block: int) -> str:
        rows = self.rows(block)
        shards = self._shards_before[block]
        return digest_of([self.source, self.threshold, rows.start, rows.stop, shards])


def _file(block: int) -> str:
    return f"similar/block-{block:06d}.arrow"
