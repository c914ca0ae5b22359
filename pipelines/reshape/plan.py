"""The units of a dataset that is made of others, planned from manifests alone, one in memory at a time."""

import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.made_from import LeftOut
from pipelines.dataset.records import SampleRow, UnitManifest, UnitSource, member_ranges
from pipelines.dataset.units import read_units, unit_name
from pipelines.reshape.rows import Rules, rows_with_samples

Keep = npt.NDArray[np.bool_]

UNIT_ROWS = 256  # of a unit, where the source records no other number
MOST_ROWS = 1 << 16  # of a unit, with rejected ones: its manifest is read as a whole
_MB = 1_000_000


@dataclass(frozen=True)
class ShardSize:
    """When a shard is full: at a number of rows with samples, or before it is larger than so many megabytes
    (10⁶ bytes; a single row may be). With neither, units of the result are those of the sources."""

    rows: int | None = None
    megabytes: float | None = None

    @property
    def follows_sources(self) -> bool:
        """Whether every unit of a source becomes a unit of the result."""
        return self.rows is None and self.megabytes is None

    def record(self) -> dict[str, JsonValue]:
        """What the result records."""
        named = {"shard_rows": self.rows, "shard_mb": self.megabytes}
        return {name: value for name, value in named.items() if value is not None}


@dataclass
class Source:
    """A dataset that samples are copied from.

    Attributes:
        keep: of each of its samples, whether it is copied; the planner clears those of forbidden videos.
        renamed: new keys by the index of the sample.
        reason: why samples are left out, for the record.
    """

    dataset: Dataset
    keep: Keep
    reason: str
    renamed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a unit of a source, [start, end), with its samples from ``first_sample`` on.

    ``kept``: of each sample of these rows, whether it is copied; ``renamed``: new keys by old ones.
    ``shard`` and ``manifest``: sha256 of the source unit's files.
    """

    source: int
    unit: int
    rows: tuple[int, int]
    first_sample: int
    kept: tuple[bool, ...]
    renamed: Mapping[str, str]
    shard: str
    manifest: str

    def of(self, manifest: UnitManifest) -> UnitManifest:
        """The part of the source unit's manifest."""
        (start, end), last = self.rows, self.first_sample + len(self.kept)
        samples = manifest["samples"][self.first_sample : last]
        return {**manifest, "rows": manifest["rows"][start:end], "samples": samples}

    def record(self) -> list[JsonValue]:
        """What a unit that is made of this piece depends on."""
        kept = "".join("1" if keep else "0" for keep in self.kept)
        return [self.manifest, self.shard, *self.rows, kept, dict(self.renamed)]


@dataclass(frozen=True)
class UnitPlan:
    """A unit of the result: its number, that of its first row, its rows and samples, and their origin."""

    number: int
    first_row: int
    rows: int
    samples: int
    pieces: tuple[Piece, ...]

    def source(self, settings: str) -> UnitSource:
        """What its manifest records as its inputs."""
        content = digest_of([self.first_row, *(piece.record() for piece in self.pieces)])
        return {"rows": self.rows, "sha256": content, "settings": settings}


class Planner:
    """Plans the units of one result.

    Attributes:
        rows: of the result, as far as it is planned.
    """

    def __init__(self, sources: Sequence[Source], rules: Rules, size: ShardSize) -> None:
        self._sources, self._rules, self._size = sources, rules, size
        self._left_out: Counter[str] = Counter()
        self._left_out_rows = 0
        self._units = 0
        self.rows = 0

    @property
    def left_out(self) -> LeftOut:
        """What the units that were planned so far do not have of the sources."""
        return {"samples": dict(sorted(self._left_out.items())), "rows": self._left_out_rows}

    def units(self) -> Iterator[UnitPlan]:
        """All units in order. Raises AnimaticError if a manifest is missing or damaged."""
        builder = _Builder(self._size)
        for number, source in enumerate(self._sources):
            start, units = 0, range(len(source.dataset.info["shards"]))
            for manifest in read_units(source.dataset.folder, units, UnitManifest):
                yield from self._of_unit(builder, number, manifest, start)
                start += len(manifest["samples"])
            if start != len(source.keep):
                raise AnimaticError(
                    f"{source.dataset.folder}: the unit manifests have {start} samples, the tables "
                    f"{len(source.keep)}; run `animatic verify {source.dataset.folder}`"
                )
        yield from self._finished(builder)

    def _of_unit(
        self, builder: "_Builder", number: int, manifest: UnitManifest, start: int
    ) -> Iterator[UnitPlan]:
        """Add a unit of a source; yields the units of the result that are full."""
        source = self._sources[number]
        digests = manifest["shard"]["sha256"], source.dataset.info["files"][unit_name(manifest["unit"])]
        builder.begin(number, manifest["unit"], *digests)
        keep, position = source.keep[start : start + len(manifest["samples"])], 0
        as_list: list[bool] = keep.tolist()
        for outcome, samples in rows_with_samples(manifest):
            end = position + len(samples)
            kept = as_list[position:end]
            if self._rules.forbids(outcome):
                self._left_out["taken_down"] += sum(kept)
                keep[position:end] = False
                kept = [False] * len(samples)
            elif not all(kept):
                self._left_out[source.reason] += kept.count(False)
            result = self._rules.result(outcome, sum(kept), self.rows)
            self._left_out_rows += result is None
            chosen = [row for row, keeps in zip(samples, kept, strict=True) if keeps]
            if builder.is_full_before(chosen):
                yield from self._finished(builder)
            renamed = {
                row["key"]: source.renamed[index]
                for index, row in enumerate(samples, start + position)
                if index in source.renamed and keep[index - start]
            }
            builder.add(kept, chosen, renamed, is_copied=result is not None)
            position = end
        if self._size.follows_sources:
            yield from self._finished(builder)

    def _finished(self, builder: "_Builder") -> Iterator[UnitPlan]:
        rows, samples, pieces = builder.finish()
        if rows:
            yield UnitPlan(self._units, self.rows, rows, samples, pieces)
            self._units += 1
            self.rows += rows


class _Builder:
    """Collects rows of source units until a unit of the result is full."""

    def __init__(self, size: ShardSize) -> None:
        self._size = size
        self._at: tuple[int, int, str, str] = (0, 0, "", "")
        self._row = self._sample = 0  # of the source unit that is being read
        self._clear()

    def begin(self, source: int, unit: int, shard: str, manifest: str) -> None:
        """Go to the first row of a unit of a source."""
        self._close_piece()
        self._at = (source, unit, shard, manifest)
        self._row = self._sample = self._from_row = self._from_sample = 0

    def is_full_before(self, chosen: Sequence[SampleRow]) -> bool:
        """Whether a row with these samples belongs to the next unit."""
        if not self._rows:
            return False
        rows, megabytes = self._size.rows, self._size.megabytes
        if rows is not None and chosen and self._with_samples >= rows:
            return True
        if megabytes is not None and chosen and self._with_samples:
            return self._bytes + sum(map(_stored_bytes, chosen)) > megabytes * _MB
        return not self._size.follows_sources and self._rows >= MOST_ROWS

    def add(
        self,
        kept: list[bool],
        chosen: Sequence[SampleRow],
        renamed: Mapping[str, str],
        *,
        is_copied: bool,
    ) -> None:
        """Add the next row of the source unit."""
        self._kept += kept
        self._renamed.update(renamed)
        self._row, self._sample = self._row + 1, self._sample + len(kept)
        self._rows += is_copied
        self._with_samples += bool(chosen)
        self._samples += len(chosen)
        if self._size.megabytes is not None:
            self._bytes += sum(map(_stored_bytes, chosen))

    def finish(self) -> tuple[int, int, tuple[Piece, ...]]:
        """Number of rows and samples and the pieces since the last call."""
        self._close_piece()
        finished = self._rows, self._samples, tuple(self._pieces)
        self._clear()
        return finished

    def _clear(self) -> None:
        self._pieces: list[Piece] = []
        self._kept: list[bool] = []
        self._renamed: dict[str, str] = {}
        self._rows = self._samples = self._with_samples = self._bytes = 0
        self._from_row, self._from_sample = self._row, self._sample

    def _close_piece(self) -> None:
        source, unit, shard, manifest = self._at
        if self._row > self._from_row:
            rows = (self._from_row, self._row)
            self._pieces.append(
                Piece(
                    source, unit, rows, self._from_sample, tuple(self._kept), self._renamed, shard, manifest
                )
            )
        self._kept, self._renamed = [], {}
        self._from_row, self._from_sample = self._row, self._sample


def _stored_bytes(row: SampleRow) -> int:
    """Of a sample in its tar: its members, padded, each with a header."""
    block = tarfile.BLOCKSIZE
    return sum(block + where.size + -where.size % block for where in member_ranges(row).values())
