"""Shards have fixed bytes: dataset digests and the order of training samples depend on them."""

import hashlib
from pathlib import Path

import pytest

from core.storage import Folder
from pipelines.dataset.clip_units import commit_clips, stored_sample
from pipelines.dataset.records import SampleInfo
from pipelines.dataset.samples import Sample
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.units import opened_shard

INFO: SampleInfo = {
    "width": 96,
    "height": 64,
    "frames": 9,
    "fps": 8.0,
    "duration": 1.125,
    "source_id": "0001",
    "condition_frame": 3,
    "scores": {"motion": 1.5, "brightness": 90.0, "text": 0.0, "aspect": 1.5},
}


def sample(key: str, size: int, further_images: int = 0) -> Sample:
    images = [bytes([number]) * (100 + number) for number in range(1 + further_images)]
    return Sample(key, images[0], bytes(range(256)) * size, f"caption ü of {key}", INFO, images[1:])


UNITS: dict[str, tuple[list[Sample], str]] = {
    "no samples": ([], "84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652"),
    "one image each": (
        [sample("a-000", 2), sample("b-000", 3)],
        "86ba7726636a2e10899582137708b84f6b110480bdbeafae5f59cff74a7fa883",
    ),
    "eleven images": (
        [sample("a-000", 41, further_images=10)],
        "e105c49c2867a36cfc9bdc8c529598c9cc19046fe556eb75d19a945174683075",
    ),
    "the longest key": (
        [sample("k" * 64 + "-000", 0)],
        "d574c93093ee5774e71d53a726ae8008075453d5fe4cab4204cdcc4898cd7847",
    ),
}


@pytest.mark.parametrize("unit", UNITS)
def test_the_tar_of_a_unit_has_the_recorded_digest(tmp_path: Path, unit: str) -> None:
    samples, digest = UNITS[unit]
    manifest = commit_clips(Folder(tmp_path), 0, samples, [])
    content = (tmp_path / "shard-000000.tar").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert manifest["shard"] == {
        "name": "shard-000000.tar",
        "sha256": digest,
        "bytes": len(content),
        "samples": len(samples),
    }
    for row, stored in zip(manifest["samples"], samples, strict=True):
        offset, size = row["mp4_offset"], row["mp4_size"]
        assert content[offset : offset + size] == stored.mp4


def test_copied_samples_have_the_same_tar(tmp_path: Path) -> None:
    samples, digest = UNITS["eleven images"]
    old = commit_clips(Folder(tmp_path / "old"), 0, samples, [])
    with opened_shard(Folder(tmp_path / "old"), old["shard"], tmp_path, "ingest again") as tar:
        copies = [stored_sample(tar, row) for row in old["samples"]]
        new = commit_clips(Folder(tmp_path / "new"), 0, copies, [])
    assert new == old
    assert new["shard"]["sha256"] == digest


def test_a_tar_of_latents_has_the_recorded_digest(tmp_path: Path) -> None:
    members = {"clip.npy": b"\x93NUMPY" * 500, "still.npy": b"s", "text.npy": b""}
    with ShardWriter(tmp_path / "tar", "latents-000000.tar") as writer:
        ranges = writer.add("a-000", members)
        record = writer.finish()
    content = (tmp_path / "tar").read_bytes()
    assert {name: content[at : at + size] for name, (at, size) in ranges.items()} == members
    digest = "48da289a29cc50079159522da58372288298e7ec5199f482096cd2dd9d241713"
    assert hashlib.sha256(content).hexdigest() == digest
    assert record == {
        "name": "latents-000000.tar",
        "sha256": digest,
        "bytes": len(content),
        "samples": 1,
    }
