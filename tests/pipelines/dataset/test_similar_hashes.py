"""Duplicates are found exactly, whatever the size of the blocks in which hashes are decided."""

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.dataset import duplicates, similar_hashes
from pipelines.dataset.duplicates import write_duplicates

Octets = npt.NDArray[np.uint8]


def clustered(count: int, centres: int, seed: int) -> Octets:
    """Hashes around some centres, a fiftieth of their bits flipped, [count 32]."""
    draw = np.random.default_rng(seed)
    bits = np.unpackbits(draw.integers(0, 256, (centres, 32), np.uint8), axis=1)[
        draw.integers(0, centres, count)
    ]
    return np.packbits(bits ^ (draw.random(bits.shape) < 0.02).astype(np.uint8), axis=1)


def found(folder: Path, hashes: list[bytes | None], distance: int) -> list[tuple[str, str, int]]:
    texts = pa.array([None if each is None else each.hex() for each in hashes], pa.string())
    table = pa.table({"key": [f"k{n}" for n in range(len(hashes))], "phash": texts})
    pq.write_table(table, folder / "samples.parquet", row_group_size=50)
    write_duplicates(folder / "samples.parquet", folder / "duplicates.parquet", distance)
    return [tuple(row.values()) for row in pq.read_table(folder / "duplicates.parquet").to_pylist()]


def compared_with_every_leader(hashes: list[bytes | None], distance: int) -> list[tuple[str, str, int]]:
    leaders, wanted = list[int](), []
    for n, hashed in enumerate(hashes):
        if hashed is None:
            continue
        value = int.from_bytes(hashed)
        away = {m: (value ^ int.from_bytes(hashes[m] or b"")).bit_count() for m in leaders}
        near = next((m for m in leaders if away[m] <= distance), None)
        if near is None:
            leaders.append(n)
        else:
            wanted.append((f"k{n}", f"k{near}", away[near]))
    return wanted


@pytest.mark.parametrize(("block", "pairs"), [(1 << 20, 1 << 22), (64, 1 << 22), (1 << 20, 20), (50, 3)])
@pytest.mark.parametrize("distance", [0, 2, 6, 12])
def test_blocks_and_halves_find_what_comparing_all_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, pairs: int, distance: int
) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", block)
    monkeypatch.setattr(similar_hashes, "BLOCK", block)
    monkeypatch.setattr(similar_hashes, "MOST_PAIRS", pairs)
    hashes: list[bytes | None] = [bytes(row) for row in clustered(300, 20, distance)]
    hashes[3] = hashes[100] = None
    hashes[150:160] = [hashes[0]] * 10
    wanted = compared_with_every_leader(hashes, distance)
    assert found(tmp_path, hashes, distance) == wanted
    assert len(wanted) >= 10


def test_the_table_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    found(tmp_path, [bytes(row) for row in clustered(300, 20, 1)], 12)
    table = pq.read_table(tmp_path / "duplicates.parquet")
    pq.write_table(table, tmp_path / "whole.parquet", compression="zstd")
    assert sha256(tmp_path / "duplicates.parquet") == sha256(tmp_path / "whole.parquet")


def test_many_alike_take_no_memory_for_their_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_hashes, "MOST_PAIRS", 1 << 14)
    monkeypatch.setattr(similar_hashes, "COMPARED", 1 << 10)
    peaks = []
    for count in (400, 1600):  # 16 times as many pairs
        hashes = clustered(count, 1, 2).view(np.uint64).reshape(-1, 4)
        tracemalloc.start()
        rows = [
            len(each.rows) for each in similar_hashes.find_similar([(np.arange(count), hashes)], 24, tmp_path)
        ]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(rows) > 0.9 * count
    assert peaks[1] < 2 * peaks[0]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
