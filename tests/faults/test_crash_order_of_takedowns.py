"""A takedown that is stopped at any write: readers find the old state, the new one or none; it continues."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, read_column
from pipelines.dataset.latents import Latents
from tests.support.dataset_files import contents
from tests.support.recorded_files import CrashError, recorded_files
from tests.support.recorded_store import RecordedStore, empty_store, recorded_store
from tests.support.takedowns import make_world, remove

URL = "recorded://bucket/world"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("before"), sizes=[2, 1])


@pytest.fixture(scope="module")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, taken down at one go."""
    folder = tmp_path_factory.mktemp("after") / "world"
    shutil.copytree(before, folder)
    remove(folder, "1", "2")
    return folder


def check_readers(url: str, old: Dataset, new: Dataset) -> None:
    """Whoever opens the dataset finds one of both states, whole, or an error that names the takedown."""
    try:
        found = Dataset.open(f"{url}/data")
    except AnimaticError as error:
        assert "takedown" in str(error)
        return
    expected = old if found.digest == old.digest else new
    assert found.digest == expected.digest and found.samples.equals(expected.samples)
    for row in range(len(found)):
        assert found.read(row, "mp4") == expected.read(row, "mp4")
    for read in (lambda: Latents.open(f"{url}/latents", found), lambda: read_column(found, CLIP_SIMILARITY)):
        try:
            read()
        except AnimaticError as error:
            assert "up to date" in str(error) or "earlier state" in str(error) or "not finished" in str(error)


@pytest.mark.slow
def test_a_crash_at_any_moment_is_continued_to_the_same_bytes(
    before: Path, after: Path, tmp_path: Path
) -> None:
    old, new = Dataset.open(before / "data"), Dataset.open(after / "data")
    for crash_at in itertools.count():
        folder = tmp_path / str(crash_at)
        shutil.copytree(before, folder)
        try:
            with recorded_files(folder, crash_at) as record:
                remove(folder, "1", "2")
        except CrashError:
            pass
        check_readers(str(folder), old, new)
        remove(folder, "1", "2")
        assert contents(folder) == contents(after)
        shutil.rmtree(folder)
        if record.changes < crash_at:
            break
    assert crash_at > 25  # writes and removals: records, units, tars, scores, tables, both latents


@pytest.fixture
def store() -> Iterator[None]:
    with recorded_store():
        empty_store()
    yield
    empty_store()


def stored() -> dict[str, bytes]:
    return {
        name.removeprefix("/bucket/world/"): bytes(file.getvalue())
        for name, file in RecordedStore.store.items()
        if not name.endswith("timings.jsonl")
    }


@pytest.mark.parametrize("crash_at", [1, 9, 16, 24])
def test_a_crash_in_a_store_is_continued_to_the_same_bytes(
    store: None, before: Path, after: Path, crash_at: int
) -> None:
    assert crashed_in_the_store(before, after, crash_at) == crash_at


@pytest.mark.slow
def test_a_crash_at_any_moment_in_a_store_is_continued_to_the_same_bytes(
    store: None, before: Path, after: Path
) -> None:
    ends = (n for n in itertools.count() if crashed_in_the_store(before, after, n) < n)
    assert next(ends) > 25  # writes and removals: records, units, tars, scores, tables, both latents


def crashed_in_the_store(before: Path, after: Path, crash_at: int) -> int:
    """Crash, look, continue; the number of writes and removals until the crash, or of all without one."""
    empty_store()
    with recorded_store():
        upload(before)
    try:
        with recorded_store(crash_at) as calls:
            remove(URL, "1", "2")
    except CrashError:
        pass
    done = len(calls)
    with recorded_store():
        check_readers(URL, Dataset.open(before / "data"), Dataset.open(after / "data"))
        remove(URL, "1", "2")
    assert stored() == contents(after)
    return done


def upload(folder: Path) -> None:
    target = Folder(URL)
    for name, content in contents(folder).items():
        target.write(name, content)
