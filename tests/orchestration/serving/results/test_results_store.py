"""Pictures and clips in a folder and in an object store."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from core.storage import Folder, StoreError, UnavailableError
from orchestration.serving.jobs import Clip, Job, JobStore, StorageFullError, StoreRules
from orchestration.serving.results import Results
from tests.support.job_stores import Clock, made_by, picture, sqlite_url, submit

_CONTENT = b"frames" * 1000


@pytest.fixture(params=["folder", "remote"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A local folder, and fsspec's file system in memory as an object store."""
    if request.param == "folder":
        yield str(tmp_path / "results")
        return
    yield f"memory://{tmp_path.name}/results"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def clock() -> Clock:
    """The time of both stores."""
    return Clock()


@pytest.fixture
def results(url: str, tmp_path: Path, clock: Clock) -> Results:
    """An empty store."""
    return Results(url, tmp_path / "cache", clock=clock)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    """The jobs whose objects are stored; clips are kept for an hour."""
    opened = JobStore(sqlite_url(tmp_path), StoreRules(keep_s=3600), clock=clock)
    yield opened
    opened.close()


def _put(results: Results, job: Job, folder: Path, content: bytes = _CONTENT) -> Clip:
    file = folder / "clip.mp4"
    file.write_bytes(content)
    stored = results.put(f"{job.id}-{job.attempt}.mp4", file)
    return Clip(
        name=stored.name, sha256=stored.sha256, bytes=stored.bytes, width=64, height=40, frames=8, seconds=1
    )


def _claim(store: JobStore, **changed: object) -> Job:
    submit(store, **changed)
    return store.claim("r1", {"champion"}, 1)[0]


def _names(url: str) -> list[str]:
    return sorted(Folder(url).tree())


def test_picture_is_stored_as_it_came_under_a_name_of_the_service(results: Results) -> None:
    first, second = results.put_picture(_CONTENT, 64, 40), results.put_picture(_CONTENT, 64, 40)
    assert results.read(first.name) == _CONTENT
    assert (first.sha256, first.bytes) == (hashlib.sha256(_CONTENT).hexdigest(), len(_CONTENT))
    assert first.name != second.name


def test_full_disk_is_a_refusal_that_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    results = Results(tmp_path / "results", tmp_path / "cache")
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StorageFullError, match="the results store is full"):
        results.put_picture(_CONTENT, 64, 40)


def test_a_full_disk_is_an_outage_for_clips_whose_jobs_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(_CONTENT)
    local = Results(tmp_path / "full", tmp_path / "cache")
    monkeypatch.setattr("core.storage.shutil.copyfile", refuse)
    with pytest.raises(UnavailableError, match="No space left"):
        local.put("video_1-1.mp4", clip)
    assert [path for path in (tmp_path / "full").rglob("*") if path.is_file()] == []


def test_clip_is_stored_and_read_from_a_local_file(results: Results, store: JobStore, tmp_path: Path) -> None:
    clip = _put(results, _claim(store), tmp_path)
    assert clip.sha256 == hashlib.sha256(_CONTENT).hexdigest()
    for _ in range(2):
        assert results.local(clip).read_bytes() == _CONTENT


def test_removed_clip_is_gone(results: Results, store: JobStore, tmp_path: Path) -> None:
    clip = _put(results, _claim(store), tmp_path)
    results.local(clip)
    results.remove(clip.name)
    results.remove(clip.name)
    with pytest.raises(FileNotFoundError):
        results.local(clip)
    with pytest.raises(FileNotFoundError):
        results.read(clip.name)


def test_damaged_clip_is_not_sent(results: Results, url: str, store: JobStore, tmp_path: Path) -> None:
    clip = _put(results, _claim(store), tmp_path)
    Folder(url).write(clip.name, _CONTENT[:-1])
    with pytest.raises(StoreError, match="damaged"):
        results.local(clip)
    assert not [path for path in (tmp_path / "cache").glob("*") if path.is_file() and path.suffix == ".mp4"]


def test_local_copies_of_a_remote_store_are_bounded(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.serving.results.store._CACHED_CLIPS", 4)
    results = Results(f"memory://{tmp_path.name}/bounded", tmp_path / "cache")
    job = _claim(store)
    file = tmp_path / "clip.mp4"
    for number in range(6):
        file.write_bytes(b"%d" % number)
        stored = results.put(f"{job.id}-{number}.mp4", file)
        clip = Clip(
            name=stored.name, sha256=stored.sha256, bytes=stored.bytes, width=1, height=1, frames=1, seconds=1
        )
        assert results.local(clip).read_bytes() == b"%d" % number
    assert len(list((tmp_path / "cache").glob("*.mp4"))) == 4


def test_objects_of_ended_jobs_are_removed_in_time(
    results: Results, store: JobStore, url: str, tmp_path: Path, clock: Clock
) -> None:
    job = _claim(store, first=results.put_picture(_CONTENT, 64, 40))
    store.complete(job, made_by(), _put(results, job, tmp_path), None)
    results.remove_spent(store)
    assert _names(url) == [f"clips/{job.id}-1.mp4"]
    clock.forward(3601)
    results.remove_spent(store)
    assert _names(url) == []


def test_objects_of_a_deleted_job_are_removed(
    results: Results, store: JobStore, url: str, tmp_path: Path
) -> None:
    job = _claim(store, first=results.put_picture(_CONTENT, 64, 40))
    store.complete(job, made_by(), _put(results, job, tmp_path), None)
    deleted = store.delete(job.id)
    assert deleted is not None
    results.remove_job(deleted)
    assert _names(url) == []


def test_objects_without_a_job_are_removed_and_those_of_running_ones_are_not(
    results: Results, store: JobStore, url: str, tmp_path: Path, clock: Clock
) -> None:
    unclaimed = results.put_picture(_CONTENT, 64, 40)
    clock.forward(3000)
    accepted = results.put_picture(_CONTENT, 64, 40)
    running = _claim(store, first=accepted)
    young = results.put_picture(_CONTENT, 64, 40)
    written = _put(results, running, tmp_path)
    ended = _claim(store, first=picture("pictures/none"))
    lost = _put(results, ended, tmp_path)
    store.fail(ended, "internal", "no")
    results.remove_unknown(store)
    assert _names(url) == sorted([unclaimed.name, accepted.name, young.name, written.name])
    clock.forward(1000)
    results.remove_unknown(store)
    assert _names(url) == sorted([accepted.name, young.name, written.name])
    clock.forward(4000)
    results.remove_unknown(store)
    assert _names(url) == sorted([accepted.name, written.name])
    assert lost.name not in _names(url)


def test_files_that_are_being_written_are_not_removed(store: JobStore, tmp_path: Path, clock: Clock) -> None:
    folder = Folder(tmp_path / "results")
    results = Results(tmp_path / "results", tmp_path / "cache", clock=clock)
    job = _claim(store)
    with (
        folder.creating(f"pictures/{int(clock.now)}-abc") as picture_file,
        folder.creating(f"clips/{job.id}-1.mp4") as clip_file,
        folder.creating("clips/video_killed-1.mp4") as left,
    ):
        for path in (picture_file, clip_file, left):
            path.write_bytes(_CONTENT)
        results.remove_unknown(store)
        assert (picture_file.exists(), clip_file.exists(), left.exists()) == (True, True, False)
        left.write_bytes(_CONTENT)
