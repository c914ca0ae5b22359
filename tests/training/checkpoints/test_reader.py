"""Shards written by some processes are read by any others; what does not add up is refused."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import AnimaticError
from core.files import sha256
from training.checkpoints import Manifest, ShardReader, check_whole, whole_tensors
from training.checkpoints.shards import shard_name, write_shard
from training.checkpoints.state import Piece

VALUES = torch.arange(10.0)


def reader(folder: Path, *shards: dict[str, Piece]) -> ShardReader:
    files = {
        shard_name(rank): write_shard(folder / shard_name(rank), pieces) for rank, pieces in enumerate(shards)
    }
    facts = {"trajectory": "t", "dataset": "d", "base": None, "parent": None, "world_size": len(shards)}
    return ShardReader(folder, Manifest(step=1, files=files, counters={"optimizer/steps": 3}, **facts))


def part(start: int, end: int, whole: int = 10) -> dict[str, Piece]:
    return {"master/a": Piece(VALUES[start:end], start, whole)}


def test_any_range_is_read_whatever_the_shards(tmp_path: Path) -> None:
    found = reader(tmp_path, part(0, 4), part(4, 4), part(4, 9), part(9, 10))
    for start in range(11):
        for end in range(start, 11):
            assert torch.equal(found.read("master/a", start, end - start), VALUES[start:end])
    assert found.whole("master/a") == 10 and list(found.keys) == ["master/a"]
    assert found.counters == {"optimizer/steps": 3}
    (whole,) = whole_tensors(found, "master", {"a": (2, 5)}).values()
    assert torch.equal(whole, VALUES.view(2, 5))


def test_a_shard_is_an_ordinary_safetensors_file_with_the_recorded_digest(tmp_path: Path) -> None:
    pieces = {"master/a": Piece(VALUES.view(2, 5).T[1:2].flatten(), 0, 2), "ema/é": Piece(VALUES[:0], 0, 0)}
    path = tmp_path / "shard.safetensors"
    record = write_shard(path, pieces)
    assert {key: value.tolist() for key, value in load_file(path).items()} == {
        "master/a": [1, 6],
        "ema/é": [],
    }
    assert record.bytes == path.stat().st_size and record.sha256 == sha256(path)


def test_large_pieces_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.checkpoints.shards._BLOCK", 12)
    record = write_shard(tmp_path / "shard.safetensors", part(0, 10))
    assert torch.equal(load_file(tmp_path / "shard.safetensors")["master/a"], VALUES)
    assert record.sha256 == sha256(tmp_path / "shard.safetensors")


def test_half_precision_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bfloat16, not fp32"):
        write_shard(tmp_path / "shard.safetensors", {"master/a": Piece(VALUES.bfloat16(), 0, 10)})


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([part(0, 4), part(5, 10)], "lacks values 4 to 5 of master/a"),
        ([part(1, 10)], "lacks values 0 to 1 of master/a"),
        ([part(0, 9)], "lacks values 9 to 10 of master/a"),
        ([part(0, 6), part(4, 10)], "has values 4 to 6 of master/a twice, the second time in rank-00001"),
        ([part(0, 4), part(4, 10, whole=11)], "as of 11 values, another shard as of 10"),
    ],
)
def test_shards_that_do_not_add_up_are_refused(tmp_path: Path, shards: list, message: str) -> None:
    with pytest.raises(AnimaticError, match=f"checkpoint {tmp_path}.*{message}"):
        reader(tmp_path, *shards)


def test_ranges_and_tensors_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    found = reader(tmp_path, part(0, 10))
    with pytest.raises(ValueError, match="has 10 values, not 8 to 11"):
        found.read("master/a", 8, 3)
    with pytest.raises(KeyError):
        found.read("master/b", 0, 1)
    with pytest.raises(AnimaticError, match=r"has no master/b, this network has 4: it is of another run"):
        check_whole(found, "master/b", 4)
    with pytest.raises(AnimaticError, match=r"has 10 values of master/a, this network has 4"):
        whole_tensors(found, "master", {"a": (2, 2)})


@pytest.mark.parametrize("content", [b"", b"12345678", b"\2\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_shard_is_refused(tmp_path: Path, content: bytes) -> None:
    found = tmp_path / shard_name(0)
    manifest = Manifest(
        step=1,
        trajectory="t",
        dataset="d",
        base=None,
        parent=None,
        world_size=1,
        files={found.name: write_shard(found, part(0, 10))},
    )
    found.write_bytes(content)
    with pytest.raises(AnimaticError, match=r"rank-00000\.safetensors is not a shard of a checkpoint"):
        ShardReader(tmp_path, manifest)
    found.unlink()
    with pytest.raises(AnimaticError, match=r"rank-00000\.safetensors is missing"):
        ShardReader(tmp_path, manifest)


def test_a_shard_without_room_on_the_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "shard.safetensors", part(0, 10))
