"""What an object store holds at every moment: the tar before its manifest, the tables before their record."""

import hashlib

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import UnitManifest
from pipelines.dataset.units import committed_units, read_unit
from pipelines.dataset.verify import verify
from tests.support.recorded_files import CrashError
from tests.support.recorded_store import empty_store, recorded_store
from tests.support.stored_samples import sample

URL = "recorded://bucket/data"
TAR, MANIFEST = "bucket/data/shard-000000.tar", "bucket/data/units/unit-000000.json"


@pytest.fixture(autouse=True)
def store() -> None:
    with recorded_store():
        empty_store()


def write_unit(*keys: str) -> None:
    outcomes = [{"row": n, "source_id": key, "samples": 1} for n, key in enumerate(keys)]
    commit_clips(Folder(URL), 0, [sample(key) for key in keys], outcomes)


def write_dataset(*keys: str) -> None:
    commit_dataset(Folder(URL), {}, units=1, rows=len(keys))


def test_a_unit_is_a_tar_and_then_its_manifest() -> None:
    with recorded_store() as calls:
        write_unit("a")
    assert calls == [f"put {TAR}", f"put {MANIFEST}"]


def test_a_manifest_is_removed_before_its_tar_is_replaced_by_another() -> None:
    write_unit("a")
    with recorded_store() as calls:
        write_unit("b")
    assert calls == [f"remove {MANIFEST}", f"put {TAR}", f"put {MANIFEST}"]


def test_an_equal_unit_exists_all_the_time() -> None:
    write_unit("a")
    with recorded_store() as calls:
        write_unit("a")
    assert calls == [f"put {TAR}", f"put {MANIFEST}"]


def test_a_dataset_is_its_tables_and_then_its_record() -> None:
    write_unit("a", "b")
    with recorded_store() as calls:
        write_dataset("a", "b")
    assert sorted(calls[:-1]) == [f"put bucket/data/{name}.parquet" for name in ("rejects", "samples")]
    assert calls[-1] == "put bucket/data/dataset.json"


@pytest.mark.parametrize("before", [(), ("a",), ("b", "c")])
@pytest.mark.parametrize("crash_at", range(4))
def test_a_crash_at_any_moment_leaves_whole_units_alone(before: tuple[str, ...], crash_at: int) -> None:
    if before:
        write_unit(*before)
    try:
        with recorded_store(crash_at) as calls:
            write_unit("b", "c")
    except CrashError:
        assert len(calls) == crash_at
    else:
        assert len(calls) <= crash_at and committed_units(Folder(URL)) == {0}
    for unit in committed_units(Folder(URL)):
        manifest = read_unit(Folder(URL), unit, UnitManifest)
        tar = Folder(URL).read(manifest["shard"]["name"])
        assert hashlib.sha256(tar).hexdigest() == manifest["shard"]["sha256"]
    # Whatever a crash left, the next attempt completes it.
    write_unit("b", "c")
    write_dataset("b", "c")
    assert verify(URL) == []


@pytest.mark.parametrize("crash_at", range(4))
def test_a_crash_at_any_moment_leaves_a_whole_dataset_or_none(crash_at: int) -> None:
    write_unit("a", "b")
    try:
        with recorded_store(crash_at):
            write_dataset("a", "b")
    except CrashError:
        with pytest.raises(AnimaticError, match="no dataset at"):
            Dataset.open(URL)
    else:
        assert verify(URL) == []
