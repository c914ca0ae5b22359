"""Shards are verified on first use, once on each node, whether they are local or remote."""

import contextlib
import errno
import hashlib
import itertools
import os
import random
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from core.errors import AnimaticError, TemporaryError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.bounded_folder import BoundedFolder
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.mapped_table import mapped_table
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.loader import ClipLoader, ClipSampling
from pipelines.takedown import take_down
from tests.support.coded_clips import build_dataset

SAMPLING = ClipSampling(frames=4, height=32, width=48, stride=(1, 3))


@pytest.fixture
def dataset(tmp_path):
    return build_dataset(tmp_path / "data", [12] * 8, sizes=[2, 2, 2, 2])


@pytest.fixture
def remote(dataset):
    """The same dataset in memory, as an object store."""
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset.folder.local_path), "/clips", recursive=True)
    yield Dataset.open("memory://clips")
    memory.rm("/clips", recursive=True)


def cache(tmp_path, gigabytes=1.0):
    return CacheConfig(folder=str(tmp_path / "cache"), gigabytes=gigabytes)


def keys(dataset, count, **options):
    loader = ClipLoader(dataset, SAMPLING, seed=1, global_batch=2, **options)
    return [key for batch in itertools.islice(iter(loader), count) for key in batch.keys]


def files_of(dataset, config):
    return ShardFiles(dataset.folder, dataset.info["shards"], config)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_at_a_member(path):
    """Stock readers accept the rest as a whole tar."""
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset])


def cut_and_pad(path):
    size = path.stat().st_size
    cut_at_a_member(path)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip_a_bit, "sha256 is"), (cut_at_a_member, "bytes, not"), (cut_and_pad, "sha256 is")],
)
def test_a_damaged_shard_ends_the_run_when_it_is_first_used(dataset, tmp_path, damage, message):
    path = dataset.folder.local_path / "shard-000002.tar"
    damage(path)
    with pytest.raises(AnimaticError, match=rf"shard-000002.tar .*{message}.*animatic verify"):
        keys(dataset, 4, cache=cache(tmp_path))


def test_a_shard_that_is_replaced_while_it_is_read_ends_the_run_with_the_cause(dataset, remote, tmp_path):
    readers = [files_of(dataset, cache(tmp_path / "local")), files_of(remote, cache(tmp_path / "remote"))]
    name, columns = "shard-000001.tar", dataset.samples.slice(3, 1).to_pylist()[0]
    expected = [files.read(name, columns["mp4_offset"], columns["mp4_size"]) for files in readers]
    for url in (dataset.url, remote.url):
        take_down(url, ["2"], date="2026-11-26T12:00:00+00:00")
    with pytest.raises(AnimaticError, match=r"taken down on 2026-11-26.* start a new run"):
        readers[0].read(name, columns["mp4_offset"], columns["mp4_size"])
    # A fetched copy keeps the bytes that it was checked with.
    assert readers[1].read(name, columns["mp4_offset"], columns["mp4_size"]) == expected[1] == expected[0]
    with pytest.raises(AnimaticError, match=r"taken down on 2026-11-26"):
        files_of(remote, cache(tmp_path / "empty")).read(name, 0, 512)
    with pytest.raises(AnimaticError, match="was changed since it was opened"):
        shards = [{**shard, "sha256": "0" * 64} for shard in dataset.info["shards"]]
        ShardFiles(dataset.folder, shards, cache(tmp_path / "other")).read("shard-000003.tar", 0, 512)


def test_a_takedown_deletes_copies_in_the_cache_of_this_machine(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMATIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pipelines.dataset.rows.HELD_ROWS", 1)
    opened = Dataset.open(remote.url)
    files = ShardFiles(opened.folder, opened.info["shards"], CacheConfig())
    for shard in opened.info["shards"]:
        files.read(shard["name"], 0, 512)
    assert len(opened.samples) == len(opened)
    digest = opened.info["files"]["samples.parquet"]
    tables = [tmp_path / "cache" / "tables" / f"{digest}{suffix}" for suffix in (".arrow", ".parquet")]
    copies = [tmp_path / "cache" / "shards" / shard["sha256"] for shard in opened.info["shards"]]
    assert all(copy.exists() for copy in (*tables, *copies))
    take_down(remote.url, ["2"], date="2026-11-26T12:00:00+00:00")
    assert [copy.exists() for copy in (*tables, *copies)] == [False, False, True, False, True, True]


def test_a_shard_is_read_through_once_by_all_processes_of_a_node(dataset, tmp_path, monkeypatch):
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda f, kind: read.append(f.name) or digest(f, kind))
    for rank in range(2):
        keys(dataset, 8, cache=cache(tmp_path), rank=rank, world_size=2, threads=3)
    assert len(read) == len(set(read)) == 4
    flip_a_bit(dataset.folder.local_path / "shard-000001.tar")
    with pytest.raises(AnimaticError, match="is damaged"):
        keys(dataset, 8, cache=cache(tmp_path))


def test_a_remote_dataset_gives_the_same_batches_and_is_fetched_once(dataset, remote, tmp_path, monkeypatch):
    fetched = []
    fetch = Folder.fetch
    monkeypatch.setattr(Folder, "fetch", lambda f, name, to: fetched.append(name) or fetch(f, name, to))
    expected = keys(dataset, 12, cache=cache(tmp_path))
    assert keys(remote, 12, cache=cache(tmp_path), threads=2) == expected
    assert keys(remote, 12, cache=cache(tmp_path)) == expected
    assert sorted(fetched) == [f"shard-{n:06d}.tar" for n in range(4)]


def test_a_shard_that_was_damaged_in_transfer_is_not_kept(remote, tmp_path):
    whole = fsspec.filesystem("memory").cat("/clips/shard-000000.tar")
    fsspec.filesystem("memory").pipe("/clips/shard-000000.tar", whole[:-1] + b"x")
    files = files_of(remote, cache(tmp_path))
    with pytest.raises(AnimaticError, match="is damaged"):
        files.read("shard-000000.tar", 0, 10)
    fsspec.filesystem("memory").pipe("/clips/shard-000000.tar", whole)
    assert files.read("shard-000000.tar", 0, 10) == whole[:10]


def size_of(path):
    """Bytes of a file, which another thread may have deleted since it was listed."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_the_cache_never_holds_more_than_its_limit(remote, tmp_path):
    sizes = {shard["name"]: shard["bytes"] for shard in remote.info["shards"]}
    limit = 2.5 * max(sizes.values())
    config = cache(tmp_path, limit / 1e9)
    readers = [files_of(remote, config) for _ in range(2)]
    seen = []

    def read(turn: int) -> bool:
        name = f"shard-{turn % 4:06d}.tar"
        data = readers[turn % 2].read(name, 0, sizes[name])
        seen.append(sum(map(size_of, (p for p in Path(config.path / "shards").iterdir() if p.suffix == ""))))
        return data == fsspec.filesystem("memory").cat(f"/clips/{name}")

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(read, range(24)))
    assert 0 < max(seen) <= limit


def test_readers_that_evict_shards_of_each_other_still_read_them(remote, tmp_path):
    shards = remote.info["shards"]
    room = cache(tmp_path, 2.5e-9 * max(shard["bytes"] for shard in shards))
    whole = {shard["name"]: remote.folder.read(shard["name"]) for shard in shards}

    def read(seed):
        rng, files = random.Random(seed), files_of(remote, room)
        names = [rng.choice(shards)["name"] for _ in range(100)]
        return all(files.read(name, 512, 64) == whole[name][512:576] for name in names)

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(read, range(4)))
    finally:
        sys.setswitchinterval(often)


def test_the_longest_unused_shard_is_evicted(remote, tmp_path, monkeypatch):
    limit = 2.5 * max(shard["bytes"] for shard in remote.info["shards"])
    files = files_of(remote, cache(tmp_path, limit / 1e9))
    fetched = []
    fetch = Folder.fetch
    monkeypatch.setattr(Folder, "fetch", lambda f, name, to: fetched.append(name[9:12]) or fetch(f, name, to))
    monkeypatch.setattr("pipelines.dataset.shard_cache._USE_RESOLUTION_S", 0.0)
    for number in [0, 1, 0, 2, 0, 1]:
        files.read(f"shard-{number:06d}.tar", 0, 1)
    assert fetched == ["000", "001", "002", "001"]


def test_reading_dates_fetched_shards_at_most_once_in_a_while_and_never_local_ones(
    dataset, remote, tmp_path, monkeypatch
):
    name, digest = "shard-000000.tar", remote.info["shards"][0]["sha256"]
    fetched, local = files_of(remote, cache(tmp_path)), files_of(dataset, cache(tmp_path))
    clock = iter([100.0, 101.0, 100.0 + 3600])
    fetched.prepare(0)
    monkeypatch.setattr("pipelines.dataset.shard_cache.time.monotonic", lambda: next(clock))

    def dated(files, path):
        os.utime(path, (0, 0))
        files.read(name, 0, 1)
        return path.stat().st_mtime > 0

    copy = cache(tmp_path).path / "shards" / digest
    assert [dated(fetched, copy) for _ in range(3)] == [True, False, True]
    monkeypatch.undo()
    assert not dated(local, dataset.folder.local_path / name)


@pytest.mark.parametrize(("second", "kept"), [(40, ["first", "second"]), (41, ["second"])])
def test_files_that_fit_exactly_stay(tmp_path, second, kept):
    folder = BoundedFolder(tmp_path, limit=100)
    for name, size in (("first", 60), ("second", second)):
        part = tmp_path / f"{name}.part"
        with folder.reserved(part, size):
            part.write_bytes(bytes(size))
            folder.keep(part, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.suffix) == kept


def test_a_shard_is_prepared_again_only_if_it_was_evicted(remote, tmp_path, monkeypatch):
    config, fetched = cache(tmp_path), []
    files, fetch = files_of(remote, config), Folder.fetch
    monkeypatch.setattr(Folder, "fetch", lambda f, name, to: fetched.append(name) or fetch(f, name, to))
    for _ in range(2):
        files.prepare(1)
    assert fetched == ["shard-000001.tar"]
    (config.path / "shards" / remote.info["shards"][1]["sha256"]).unlink()
    files.prepare(1)
    assert fetched == ["shard-000001.tar"] * 2


def test_a_mapped_table_has_the_age_of_its_last_use(dataset, tmp_path):
    digest = sha256(dataset.folder.local_path / "samples.parquet")
    for _ in range(2):
        table = mapped_table(dataset.folder, "samples.parquet", digest, tmp_path)
        assert table.column("key").to_pylist() == dataset.samples.column("key").to_pylist()
        (copy,) = tmp_path.glob("tables/*.arrow")
        assert copy.stat().st_mtime > 0
        os.utime(copy, (0, 0))


def test_a_table_of_an_object_store_is_mapped_as_a_local_one_is(dataset, remote, tmp_path):
    digest = sha256(dataset.folder.local_path / "samples.parquet")
    table = mapped_table(remote.folder, "samples.parquet", digest, tmp_path)
    assert table.equals(dataset.samples)
    assert [path.suffix for path in (tmp_path / "tables").iterdir() if path.suffix != ".lock"] == [".arrow"]


def test_partial_files_of_a_killed_process_are_evicted(remote, tmp_path):
    largest = max(shard["bytes"] for shard in remote.info["shards"])
    config = cache(tmp_path, 1.5 * largest / 1e9)
    (config.path / "shards").mkdir(parents=True)
    left = config.path / "shards" / ("0" * 64 + ".part")
    left.write_bytes(bytes(largest))
    files_of(remote, config).read("shard-000000.tar", 0, 1)
    assert not left.exists()


def test_a_cache_smaller_than_a_shard_is_refused(remote, tmp_path):
    with pytest.raises(AnimaticError, match=r"raise data\.cache\.gigabytes"):
        files_of(remote, cache(tmp_path, 1e-9))


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which take no time."""
    made, sleep = [], time.sleep

    def record(seconds):
        if seconds < 1:  # of locks
            sleep(seconds)
        else:
            made.append(seconds)

    monkeypatch.setattr("tenacity.nap.time.sleep", record)
    return made


def failing_fetch(monkeypatch, errors):
    """Let fetching raise these errors, one after the other, the last again and again."""
    asked, fetch = [], Folder.fetch

    def failing(folder, name, to):
        asked.append(name)
        error = errors[min(len(asked), len(errors)) - 1]
        if error is not None:
            with folder._store_errors(name):
                raise error
        fetch(folder, name, to)

    monkeypatch.setattr(Folder, "fetch", failing)
    return asked


def test_a_store_that_is_away_for_minutes_is_tried_again_with_growing_pauses(
    remote, tmp_path, monkeypatch, pauses
):
    failing_fetch(monkeypatch, [ConnectionResetError("reset by peer")] * 10 + [None])
    assert files_of(remote, cache(tmp_path)).read("shard-000000.tar", 0, 1)
    assert len(pauses) == 10
    assert all(
        low <= pause <= 2 * low for pause, low in zip(pauses, [1, 2, 4, 8, 16, *[30] * 5], strict=True)
    )


def test_a_store_that_does_not_answer_for_long_is_a_temporary_error(remote, tmp_path, monkeypatch, pauses):
    failing_fetch(monkeypatch, [ConnectionResetError("reset by peer")])
    with pytest.raises(
        TemporaryError, match=r"000000\.tar cannot be fetched \(.*reset by peer\), tried for 600"
    ):
        files_of(remote, cache(tmp_path)).read("shard-000000.tar", 0, 1)
    assert 600 <= sum(pauses) <= 600 + 2 * 30


def test_a_refusal_is_not_tried_again_and_never_a_damaged_sample(remote, tmp_path, monkeypatch, pauses):
    asked = failing_fetch(monkeypatch, [PermissionError("Forbidden")])
    with pytest.raises(AnimaticError, match=r"shard-000000\.tar: Forbidden"):
        files_of(remote, cache(tmp_path)).read("shard-000000.tar", 0, 1)
    assert asked == ["shard-000000.tar"]
    with pytest.raises(AnimaticError, match=r"shard-\d+\.tar: Forbidden"):
        keys(remote, 1, cache=cache(tmp_path))
    assert pauses == []


def test_a_cache_without_space_is_named_as_such(remote, tmp_path, monkeypatch, pauses):
    failing_fetch(monkeypatch, [OSError(errno.ENOSPC, "No space left on device", "part")])
    with pytest.raises(
        AnimaticError, match=r"^the cache .* No space left on device; set data\.cache\.folder"
    ):
        keys(remote, 1, cache=cache(tmp_path))
    assert pauses == []


def test_remote_shards_without_a_cache_are_refused_at_once(remote, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AnimaticError, match=r"^the cache for fetched shards: .* \(set data\.cache\.folder"):
        files_of(remote, CacheConfig(folder=str(tmp_path / "file")))


@pytest.mark.parametrize("home", ["/proc/nobody", "/dev/null/home"])
def test_local_shards_need_neither_cache_nor_home(dataset, tmp_path, monkeypatch, home):
    expected = keys(dataset, 16, cache=cache(tmp_path))
    monkeypatch.setenv("HOME", home)
    for variable in ("ANIMATIC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert keys(dataset, 16, cache=CacheConfig()) == expected


def test_damage_is_found_without_a_cache_too(dataset):
    shard = dataset.folder.local_path / "shard-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(AnimaticError, match=r"shard-000000\.tar is damaged"):
            files_of(dataset, CacheConfig(folder="/proc/nowhere")).read("shard-000000.tar", 0, 1)
    finally:
        shard.write_bytes(content)


def test_a_large_table_is_read_without_a_cache(dataset):
    digest = sha256(dataset.folder.local_path / "samples.parquet")
    table = mapped_table(dataset.folder, "samples.parquet", digest, Path("/proc/nowhere"))
    assert table.column("key").to_pylist() == dataset.samples.column("key").to_pylist()


def test_shards_are_fetched_before_their_turn_window_by_window(remote, dataset, tmp_path):
    largest = max(shard["bytes"] for shard in remote.info["shards"])
    config = cache(tmp_path, 3.1 * largest / 1e9)
    assert keys(remote, 16, cache=config, shuffle_shards=2) == keys(dataset, 16, shuffle_shards=2)
    with pytest.raises(AnimaticError, match=r"needs 0\.0 GB of cache.*lower data\.shuffle_shards"):
        keys(remote, 1, cache=config, shuffle_shards=4)
