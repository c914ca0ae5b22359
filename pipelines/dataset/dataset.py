"""A finished dataset, opened for reading: its tables, and members by range reads of its tars."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import AnimaticError
from core.storage import Folder, UnavailableError
from pipelines.dataset.dataset_record import REMEDY, read_dataset_record
from pipelines.dataset.duplicates import DUPLICATES
from pipelines.dataset.records import DatasetRecord, Member, RungRow
from pipelines.dataset.rows import Rows, open_rows
from pipelines.dataset.shard_list import ShardList
from pipelines.dataset.tables import LATER_COLUMNS, REJECTS, SAMPLES, SAMPLES_SCHEMA
from pipelines.video import rung_member

HELD_SHARDS = 10_000  # the records of more are made when they are asked for


class Dataset:
    """A finished dataset, opened for reading; safe to pickle and to share between threads.

    Attributes:
        folder: where it is.
        info: its completion record; of many shards, without the digests of their units' manifests.
        rows: samples.parquet, of which no more is read than is asked for.
    """

    def __init__(self, folder: Folder, info: DatasetRecord, rows: Rows) -> None:
        self.folder = folder
        self.info = info
        self.rows = rows
        self._read_range: Callable[[str, int, int], bytes] | None = None

    @classmethod
    def open(cls, url: str | Path) -> "Dataset":
        """Open the dataset at a folder or fsspec URL; AnimaticError if it is missing or inconsistent."""
        folder = Folder(url)
        info = read_dataset_record(folder)
        if len(info["shards"]) > HELD_SHARDS:
            info = _compacted(info)
        count, digest = info["counts"]["samples"], info["files"].get(SAMPLES, "")
        try:
            rows = open_rows(folder, SAMPLES, digest, count, SAMPLES_SCHEMA, LATER_COLUMNS)
        except UnavailableError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise AnimaticError(f"{url}/{SAMPLES} cannot be read ({error}); {REMEDY}") from error
        return cls(folder, info, rows)

    def reading_with(self, read_range: Callable[[str, int, int], bytes]) -> "Dataset":
        """The same dataset, ``size`` bytes from ``offset`` of ``shard`` read by ``read_range``."""
        other = Dataset(self.folder, self.info, self.rows)
        other._read_range = read_range
        return other

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def samples(self) -> pa.Table:
        """All of samples.parquet. Of a large dataset an Arrow file is made for it, once on each node: where
        some rows or columns are enough, use ``rows``."""
        return self.rows.table()

    @property
    def has_more_captions(self) -> bool:
        """Whether a sample has several captions."""
        batches = self.rows.batches(["more_captions"])
        return any(batch.column(0).null_count < len(batch) for batch in batches)

    @property
    def url(self) -> str:
        """Where the dataset is."""
        return self.folder.url

    @property
    def digest(self) -> str:
        """The dataset's identity."""
        return self.info["digest"]

    @property
    def rejects(self) -> pa.Table:
        """Rejected source rows: row, source_id, reason, detail, record (the row as JSON)."""
        return self._table(REJECTS)

    @property
    def duplicates(self) -> pa.Table:
        """Samples that look like an earlier one: key, duplicate_of, distance (bits of the perceptual hash).

        Raises AnimaticError if the dataset was ingested without looking for them.
        """
        if DUPLICATES not in self.info["files"]:
            raise AnimaticError(
                f"{self.url} was ingested without looking for duplicates; "
                "ingest with --set filters.duplicate_distance=12"
            )
        return self._table(DUPLICATES)

    def _table(self, name: str) -> pa.Table:
        try:
            return pq.read_table(io.BytesIO(self.folder.read(name)))
        except (OSError, pa.ArrowException) as error:
            raise AnimaticError(f"{self.url}/{name} cannot be read ({error}); {REMEDY}") from error

    def read(self, row: int, member: Member) -> bytes:
        """Bytes of one member of sample ``row`` (its index in ``samples``), by a range read of its tar.

        Raises OSError if the shard is missing or too short, and AnimaticError if it was replaced since the
        dataset was opened.
        """
        columns = (f"{member}_offset", f"{member}_size")
        offset, size = self.rows.cells(row, columns).values()
        return self._read(row, offset, size, member)

    def images(self, row: int) -> int:
        """Number of conditioning images of sample ``row``."""
        return 1 + len(self.rows.cells(row, ["more_jpg_size"])["more_jpg_size"] or ())

    def read_image(self, row: int, number: int) -> bytes:
        """The ``number``-th conditioning image, from 0. Raises as ``read``."""
        if number == 0:
            return self.read(row, "jpg")
        columns = ("more_jpg_offset", "more_jpg_size")
        offset, size = (places[number - 1] for places in self.rows.cells(row, columns).values())
        return self._read(row, offset, size, f"{number}.jpg")

    def rungs(self, row: int) -> list[RungRow]:
        """The further encodings of the clip of sample ``row``."""
        return self.rows.cells(row, ["rungs"])["rungs"] or []

    def read_rung(self, row: int, rung: str) -> bytes:
        """A further encoding of a clip, by name. Raises as ``read``, and KeyError if there is none."""
        found = {each["rung"]: each for each in self.rungs(row)}[rung]
        return self._read(row, found["offset"], found["size"], rung_member(rung))

    def _read(self, row: int, offset: int | None, size: int, member: str) -> bytes:
        if offset is None:
            raise OSError(f"sample {row} of {self.folder} has no {member}")
        shard = self.rows.cells(row, ["shard"])["shard"]
        if self._read_range is not None:
            data = self._read_range(shard, offset, size)
        elif self.info["config"].get("kind") == "images":
            data = self.folder.read_range(shard, offset, size)
        else:
            data = self._read_with_header(row, shard, offset, size, member)
        if len(data) != size:
            raise OSError(f"{self.folder}/{shard} ends before sample {row}'s {member}")
        return data

    def _read_with_header(self, row: int, shard: str, offset: int, size: int, member: str) -> bytes:
        """A member of a tar whose digest nobody has compared, which may be another tar by now."""
        data = self.folder.read_range(shard, offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + size)
        name = f"{self.rows.cells(row, ['key'])['key']}.{member}"
        try:
            header = tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeError):
            header = tarfile.TarInfo()
        is_whole = len(data) == tarfile.BLOCKSIZE + size
        if is_whole and (header.name, header.size) != (name, size):
            raise AnimaticError(
                f"{self.folder}/{shard} has no {name} at its recorded offset: run the job again if the "
                f"dataset was changed meanwhile; otherwise it is damaged, run `animatic verify {self.folder}`"
            )
        return data[tarfile.BLOCKSIZE :]


def _compacted(info: DatasetRecord) -> DatasetRecord:
    """The record in a tenth of the memory: every process of a run has one."""
    files = {name: digest for name, digest in info["files"].items() if not name.startswith("units/")}
    return {**info, "shards": ShardList(info["shards"]), "files": files}
