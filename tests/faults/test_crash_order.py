"""What is on disk at every moment: content before its name, and what completes the rest last."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from core.errors import AnimaticError
from core.files import atomic_folder, write_text
from core.journal import JournalWriter
from core.storage import Folder
from models.bundle import BundleOrigin, open_bundle, write_bundle
from orchestration import media
from orchestration.registry import Draft, Ledger
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.columns import CLIP_SIMILARITY, write_column
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import RowOutcome, UnitManifest
from pipelines.dataset.units import committed_units, read_unit
from pipelines.dataset.verify import verify
from tests.support.checkpoint_states import SHARD, Number, open_store
from tests.support.recorded_files import CrashError, RecordedFiles, recorded_files
from tests.support.stored_samples import sample
from training.checkpoints import CheckpointStore, find_damage
from training.checkpoints.snapshot import state_of
from training.config import resolve

TAR, MANIFEST = "shard-000000.tar", "units/unit-000000.json"


def assert_durable(record: RecordedFiles) -> None:
    assert record.calls
    assert (record.unsynced, record.undurable) == ([], [])


def outcomes(*keys: str) -> list[RowOutcome]:
    return [{"row": n, "source_id": key, "samples": 1} for n, key in enumerate(keys)]


def write_unit(folder: Path, *keys: str) -> None:
    commit_clips(Folder(folder), 0, [sample(key) for key in keys], outcomes(*keys))


def write_dataset(folder: Path, *keys: str) -> None:
    commit_dataset(Folder(folder), {}, units=1, rows=len(keys))


def test_a_unit_is_a_tar_and_then_its_manifest(tmp_path: Path) -> None:
    with recorded_files(tmp_path) as record:
        write_unit(tmp_path, "a")
    assert record.calls == [
        "sync shard-000000.part",
        f"rename shard-000000.part -> {TAR}",
        "sync .",
        "sync .",  # the new folder of the manifests
        "sync units/unit-000000.part",
        f"rename units/unit-000000.part -> {MANIFEST}",
        "sync units",
    ]
    assert_durable(record)


def test_a_manifest_is_removed_before_its_tar_is_replaced_by_another(tmp_path: Path) -> None:
    write_unit(tmp_path, "a")
    with recorded_files(tmp_path) as record:
        write_unit(tmp_path, "b")
    assert [call for call in record.calls if not call.startswith("sync")] == [
        f"remove {MANIFEST}",
        f"rename shard-000000.part -> {TAR}",
        f"rename units/unit-000000.part -> {MANIFEST}",
    ]
    assert_durable(record)


def test_a_dataset_is_its_tables_and_then_its_record(tmp_path: Path) -> None:
    write_unit(tmp_path, "a", "b")
    with recorded_files(tmp_path) as record:
        write_dataset(tmp_path, "a", "b")
    assert [call for call in record.calls if not call.startswith("sync")] == [
        "rename rejects.part -> rejects.parquet",
        "rename samples.part -> samples.parquet",
        "rename dataset.part -> dataset.json",
    ]
    assert_durable(record)


@pytest.mark.parametrize("before", [(), ("a",), ("b", "c")])
def test_a_crash_at_any_moment_leaves_whole_units_alone(tmp_path: Path, before: tuple[str, ...]) -> None:
    for crash_at in range(4):
        folder = tmp_path / str(crash_at)
        if before:
            write_unit(folder, *before)
        folder.mkdir(exist_ok=True)
        try:
            with recorded_files(folder, crash_at) as record:
                write_unit(folder, "b", "c")
        except CrashError:
            assert record.changes == crash_at
        else:
            assert record.changes <= crash_at
            assert committed_units(Folder(folder)) == {0}
        for unit in committed_units(Folder(folder)):
            manifest = read_unit(Folder(folder), unit, UnitManifest)
            tar = (folder / manifest["shard"]["name"]).read_bytes()
            assert hashlib.sha256(tar).hexdigest() == manifest["shard"]["sha256"]
        # Whatever a crash left, the next attempt completes it.
        write_unit(folder, "b", "c")
        write_dataset(folder, "b", "c")
        assert verify(folder) == []


def test_a_crash_at_any_moment_leaves_a_whole_dataset_or_none(tmp_path: Path) -> None:
    for crash_at in range(4):
        folder = tmp_path / str(crash_at)
        write_unit(folder, "a", "b")
        try:
            with recorded_files(folder, crash_at):
                write_dataset(folder, "a", "b")
        except CrashError:
            with pytest.raises(AnimaticError, match="no dataset at"):
                Dataset.open(folder)
        else:
            assert verify(folder) == []


def store(root: Path, keep: int = 1) -> CheckpointStore:
    return open_store(root / "checkpoints", keep)


def test_a_checkpoint_is_its_files_then_its_manifest_then_its_name(tmp_path: Path) -> None:
    with recorded_files(tmp_path) as record:
        store(tmp_path).save(2, state_of([Number()]))
    partial = "checkpoints/step-00000002.partial"
    assert record.calls == [
        "sync .",  # the new folder of checkpoints
        f"sync {partial}/{SHARD}",
        f"sync {partial}/manifest.part",
        f"rename {partial}/manifest.part -> {partial}/manifest.json",
        f"sync {partial}",
        f"sync {partial}/{SHARD}",
        f"sync {partial}/manifest.json",
        f"sync {partial}",
        f"rename {partial} -> checkpoints/step-00000002",
        "sync checkpoints",
    ]
    assert_durable(record)


def test_a_checkpoint_that_is_deleted_loses_its_manifest_first(tmp_path: Path) -> None:
    store(tmp_path).save(2, state_of([Number()]))
    with recorded_files(tmp_path) as record:
        store(tmp_path).save(4, state_of([Number()]))
    removed = [call for call in record.calls if call.startswith("remove")]
    assert removed[0] == "remove checkpoints/step-00000002/manifest.json"
    assert record.calls[record.calls.index(removed[0]) + 1] == "sync checkpoints/step-00000002"
    assert record.calls.index(removed[0]) > record.calls.index("sync checkpoints")
    assert record.unsynced == []


def test_a_crash_at_any_moment_of_a_save_leaves_whole_checkpoints(tmp_path: Path) -> None:
    for crash_at in range(7):
        root = tmp_path / str(crash_at)
        store(root).save(2, state_of([Number()]))
        try:
            with recorded_files(root, crash_at):
                store(root).save(4, state_of([Number()]))
        except CrashError:
            pass
        newest = store(root).newest(lambda message: None)
        assert newest is not None and newest.step in (2, 4)
        assert find_damage(newest.path) is None


def a_bundle(folder: Path) -> None:
    write_bundle(
        folder / "bundle",
        {"conv.weight": torch.zeros(2, 2)},
        BundleOrigin(
            architecture=resolve(1, "tiny").model,
            stage=1,
            preset="tiny",
            config_hash="c" * 64,
            dataset_digest=None,
            parent=None,
        ),
        model_card="# card",
    )


def test_a_bundle_is_named_when_all_its_files_are_on_disk(tmp_path: Path) -> None:
    with recorded_files(tmp_path) as record:
        a_bundle(tmp_path)
    assert [call for call in record.calls if not call.startswith("sync")] == ["rename bundle.part -> bundle"]
    assert {f"sync bundle.part/{name}" for name in ("model.safetensors", "README.md", "bundle.json")} <= set(
        record.calls
    )
    assert_durable(record)
    assert open_bundle(tmp_path / "bundle").info.stage == 1


def test_a_ledger_s_entry_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(2):
        with recorded_files(tmp_path) as record:
            ledger.append(Draft("accepted", f"{number}" * 64, tmp_path / "bundle", 3, "tiny"))
        assert record.calls[-1] == "sync ledger.jsonl"
        assert "sync ." in record.calls  # its name
    assert len(ledger.entries()) == 2


def test_a_journal_s_line_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "runs" / "journal.jsonl") as journal:
        for number in range(3):
            with recorded_files(tmp_path) as record:
                journal.append({"step": number})
            assert record.calls == ["sync runs/journal.jsonl"]
            lines = (tmp_path / "runs" / "journal.jsonl").read_text().splitlines()
            assert json.loads(lines[-1]) == {"step": number}


def a_folder(folder: Path) -> None:
    with atomic_folder(folder / "made") as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "file").write_text("content")


def scores(folder: Path) -> None:
    write_unit(folder, "a")
    write_dataset(folder, "a")
    write_column(Dataset.open(folder), CLIP_SIMILARITY, pa.array([0.0]), {})


WRITERS: dict[str, Callable[[Path], object]] = {
    "atomic folder": a_folder,
    "text": lambda folder: write_text(folder / "deep" / "a.txt", "content"),
    "file of a folder": lambda folder: Folder(folder).write("deep/name.json", b"content"),
    "scores": scores,
    "animation": lambda folder: media.write_clip(np.zeros((3, 32, 32, 3), np.uint8), folder / "a", 8),
    "image": lambda folder: media.write_png(np.zeros((8, 8, 3), np.uint8), folder / "a.png"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whatever_is_written_is_on_disk_before_it_has_its_name(tmp_path: Path, writer: str) -> None:
    with recorded_files(tmp_path) as record:
        WRITERS[writer](tmp_path)
    assert any(call.startswith("rename") for call in record.calls)
    assert_durable(record)


def test_the_recorder_notices_what_is_not_synced(tmp_path: Path) -> None:
    with recorded_files(tmp_path) as record:
        (tmp_path / "a").write_text("content")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()
    assert record.unsynced == ["a"]
    assert record.undurable == ["rename a -> b", "remove b"]
