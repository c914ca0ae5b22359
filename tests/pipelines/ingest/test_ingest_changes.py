"""A dataset whose table, settings or videos change: which units are replaced, kept or refused."""

import json
import shutil
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, IngestProgress, ingest, retry
from tests.support.dataset_files import contents
from tests.support.footage import row, write_coded, write_table
from tests.support.recorded_files import CrashError, recorded_files

IDS = [f"{number:02d}" for number in range(7)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven videos, and a table of the first five; the column licence holds their numbers."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "videos" / "p").mkdir(parents=True)
    for number, videoid in enumerate(IDS):
        write_coded(folder / "videos" / "p" / f"{videoid}.mp4", range(20 + number))
    write_table(folder / "table.csv", rows(IDS[:5]))
    return folder


def rows(ids: list[str]) -> list[dict[str, str]]:
    return [row(videoid, licence=str(int(videoid))) for videoid in ids]


def config(source: Path, output: Path, **changes: object) -> IngestConfig:
    settings: dict[str, object] = {"short_side": 32, "unit_rows": 2, "workers": 2, "preset": "ultrafast"}
    return IngestConfig(
        source=str(source / "table.csv"),
        videos=str(source / "videos"),
        output=str(output),
        **{**settings, **changes},
    )


def touched(folder: Path, before: dict[str, int]) -> set[str]:
    """Shards written since ``before``."""
    return {name for name, stamp in stamps(folder).items() if before.get(name) != stamp}


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.tar")}


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of five rows: units of two, two and one."""
    output = tmp_path_factory.mktemp("out") / "data"
    ingest(config(source, output))
    return output


@pytest.fixture
def copies(source: Path, finished: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the table, and of the dataset that was made from it."""
    # Both are moved together: recorded locations are relative.
    mine, output = tmp_path / source.name, tmp_path / finished.parent.name / "data"
    mine.mkdir()
    (mine / "videos").symlink_to(source / "videos")
    shutil.copy2(source / "table.csv", mine / "table.csv")
    shutil.copytree(finished, output)
    return mine, output


def test_what_is_replaced_loses_its_dataset_json_first_and_its_manifests_before_its_tars(
    copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, output = copies
    write_table(mine / "table.csv", rows(["06", *IDS[1:3]]))
    monkeypatch.setattr("pipelines.cluster.tasks.run_tasks", stop_before_units)
    with recorded_files(output) as record, pytest.raises(CrashError):
        ingest(config(mine, output), replace=True)
    removed = [call.removeprefix("remove ") for call in record.calls if call.startswith("remove ")]
    manifests = [f"units/unit-{unit:06d}.json" for unit in range(3)]
    assert removed == ["dataset.json", *manifests, "shard-000002.tar", "facts/unit-000002.json"]
    assert record.undurable == []
    # The record of the new inputs comes when nothing of the old ones is left.
    assert record.calls.index("rename ingest.part -> ingest.json") > record.calls.index(
        f"remove {manifests[2]}"
    )


def stop_before_units(tasks: object, **options: object) -> list[object]:
    raise CrashError


def test_a_unit_whose_tar_has_another_size_is_made_again(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    expected = contents(output)
    (output / "dataset.json").unlink()
    tar = output / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    (output / "shard-000002.tar").unlink()
    assert ingest(config(mine, output)).skipped_units == 1
    found = contents(output)
    assert {**found, "ingest.json": b""} == {**expected, "ingest.json": b""}


def test_rows_appended_to_the_table_make_new_units_only(copies: tuple[Path, Path], tmp_path: Path) -> None:
    mine, output = copies
    before = stamps(output)
    write_table(mine / "table.csv", rows(IDS))
    report = ingest(config(mine, output))
    assert (report.rows, report.samples, report.skipped_units) == (7, 7, 2)
    assert touched(output, before) == {"shard-000002.tar", "shard-000003.tar"}
    ingest(config(mine, output.parent / "fresh"))
    assert contents(output) == contents(output.parent / "fresh")


def test_a_changed_row_needs_replace_and_replaces_its_unit(copies: tuple[Path, Path], tmp_path: Path) -> None:
    mine, output = copies
    before = contents(output)
    changed = rows(IDS[:5])
    changed[2]["name"] = "another caption"
    write_table(mine / "table.csv", changed)
    with pytest.raises(AnimaticError, match=r"table changed; 1 of its 3 units.*--replace"):
        ingest(config(mine, output))
    assert contents(output) == before
    written = stamps(output)
    report = ingest(config(mine, output), replace=True)
    assert report.skipped_units == 2
    assert touched(output, written) == {"shard-000001.tar"}
    ingest(config(mine, output.parent / "fresh"))
    assert contents(output) == contents(output.parent / "fresh")


def test_a_shorter_table_and_other_settings_leave_no_old_files(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    mine, output = copies
    write_table(mine / "table.csv", rows(IDS[:2]))
    with pytest.raises(AnimaticError, match=r"jpeg_quality was 95, is 90.*3 of its 3 units"):
        ingest(config(mine, output, jpeg_quality=90))
    ingest(config(mine, output, jpeg_quality=90), replace=True)
    ingest(config(mine, output.parent / "fresh", jpeg_quality=90))
    assert contents(output) == contents(output.parent / "fresh")
    assert verify(output) == []


def test_a_filter_counts_what_it_leaves_out_and_replaces_its_units(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    before = stamps(output)
    report = ingest(config(mine, output, where="licence < 3"), replace=True)
    assert (report.rows, report.samples, report.reasons) == (5, 3, {"filtered": 2})
    assert touched(output, before) == {"shard-000001.tar", "shard-000002.tar"}
    rejects = Dataset.open(output).rejects.to_pylist()
    assert [(reject["row"], reject["reason"]) for reject in rejects] == [(3, "filtered"), (4, "filtered")]


def test_an_untouched_table_is_not_read_again(
    copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, output = copies
    ingest(config(mine, output))  # records the time stamps of the copy
    monkeypatch.setattr("pipelines.sources.SourceTable.scan", lambda _: pytest.fail("the table was read"))
    assert ingest(config(mine, output)).skipped_units == 3


def test_a_table_that_was_only_touched_changes_nothing(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    before = stamps(output)
    (mine / "table.csv").touch()
    assert ingest(config(mine, output)).skipped_units == 3
    assert touched(output, before) == set()


def test_a_retry_processes_the_rejected_rows_of_a_class_again(source: Path, tmp_path: Path) -> None:
    videos, output = tmp_path / "videos", tmp_path / "data"
    shutil.copytree(source / "videos", videos)
    (videos / "p" / "01.mp4").rename(tmp_path / "01.mp4")
    (videos / "p" / "02.mp4").write_bytes(b"")
    settings = config(source, output).model_copy(update={"videos": str(videos)})
    first = ingest(settings)
    assert first.reasons == {"empty_file": 1, "missing_file": 1}
    progress: list[IngestProgress] = []
    for reasons in (["decoder_crash"], ["missing_file", "decoder_crash"]):
        with pytest.raises(AnimaticError, match=r"no row .* decoder_crash; it has empty_file, missing"):
            retry(str(output), reasons, progress.append)
    with pytest.raises(AnimaticError, match="fix the table"):
        retry(str(output), ["no_caption"], progress.append)
    assert progress == []  # a tracker begins a run with the first state
    with pytest.raises(AnimaticError, match="crf decides"):
        retry(str(output), ["missing_file"], crf=23)

    # A sample that is copied, not encoded again, survives the loss of its video.
    (videos / "p" / "00.mp4").unlink()
    (tmp_path / "01.mp4").rename(videos / "p" / "01.mp4")
    before = stamps(output)
    report = retry(str(output), ["missing_file"], workers=1, deadline_s=60)

    assert (report.samples, report.reasons) == (4, {"empty_file": 1})
    assert report.digest != first.digest
    assert touched(output, before) == {"shard-000000.tar"}
    assert verify(output) == []
    shutil.copy2(source / "videos" / "p" / "00.mp4", videos / "p")
    ingest(settings.model_copy(update={"output": str(output.parent / "fresh")}))
    assert contents(output) == contents(output.parent / "fresh")


def test_a_retry_copies_nothing_from_a_damaged_tar(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    write_table(mine / "table.csv", [*rows(IDS[:5]), row("nosuch")])
    ingest(config(mine, output))
    tar = output / "shard-000002.tar"
    spoilt = bytearray(tar.read_bytes())
    spoilt[spoilt.index(b"mdat") + 50] ^= 1
    tar.write_bytes(spoilt)
    with pytest.raises(AnimaticError, match=r"shard-000002.tar is damaged.*delete units/unit-000002.json"):
        retry(str(output), ["missing_file"])
    (output / "units" / "unit-000002.json").unlink()
    assert ingest(config(mine, output)).reasons == {"missing_file": 1}
    assert verify(output) == []


def test_a_retry_keeps_the_order_of_rows_that_share_an_id(
    source: Path, copies: tuple[Path, Path], tmp_path: Path
) -> None:
    mine, _ = copies
    mute = row("05", name="", licence="5")
    write_table(mine / "table.csv", [mute, *rows(IDS[:1]), *rows(["05"])])
    away = tmp_path / "videos"
    shutil.copytree(source / "videos", away)
    (away / "p" / "05.mp4").unlink()
    settings = config(mine, tmp_path / "out", unit_rows=3)
    assert ingest(settings.model_copy(update={"videos": str(away)})).reasons == {
        "missing_file": 1,
        "no_caption": 1,
    }
    shutil.copy2(source / "videos" / "p" / "05.mp4", away / "p")
    retry(str(tmp_path / "out"), ["missing_file"], workers=1)
    assert Dataset.open(tmp_path / "out").samples["source_id"].to_pylist() == ["00", "05"]


def put_unit(of: Path, number: int, into: Path) -> None:
    """Commit a unit as a worker of another job does."""
    for name in (f"shard-{number:06d}.tar", f"units/unit-{number:06d}.json"):
        shutil.copy2(of / name, into / name)


@pytest.fixture(scope="module")
def other_settings(source: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows under another setting, which leaves keys and counts as they are."""
    output = tmp_path_factory.mktemp("out") / "data"
    ingest(config(source, output, crf=40))
    return output


def test_a_late_unit_of_other_settings_is_an_error_and_replaced_by_the_next_run(
    copies: tuple[Path, Path], other_settings: Path
) -> None:
    mine, output = copies
    before = contents(output)
    (output / "dataset.json").unlink()
    with pytest.raises(AnimaticError, match=r"unit-000000.json has other rows or settings"):
        ingest(config(mine, output), lambda _: put_unit(other_settings, 0, output))
    assert not (output / "dataset.json").exists()
    assert ingest(config(mine, output)).skipped_units == 2
    after = contents(output)
    assert {**after, "ingest.json": b""} == {**before, "ingest.json": b""}


def test_a_unit_of_other_rows_is_replaced(copies: tuple[Path, Path], finished: Path, tmp_path: Path) -> None:
    mine, output = copies
    swapped = rows([IDS[1], IDS[0], *IDS[2:5]])
    write_table(mine / "table.csv", swapped)
    ingest(config(mine, output), replace=True)
    put_unit(finished, 0, output)
    (output / "dataset.json").unlink()
    assert ingest(config(mine, output)).skipped_units == 2
    assert Dataset.open(output).samples["source_id"].to_pylist() == [r["videoid"] for r in swapped]


def test_a_tar_without_a_manifest_is_deleted_with_its_rows(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    shutil.copy2(output / "shard-000002.tar", output / "shard-000005.tar")
    write_table(mine / "table.csv", rows(IDS[:2]))
    ingest(config(mine, output), replace=True)
    assert verify(output) == []


def test_a_retry_that_was_stopped_is_completed_by_ingest(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    before = contents(output)
    (output / "dataset.json").unlink()
    (output / "units" / "unit-000001.json").unlink()
    with pytest.raises(AnimaticError, match="did not finish"):
        retry(str(output), ["missing_file"])
    ingest(config(mine, output))
    assert contents(output).keys() == before.keys()
    assert verify(output) == []


def test_a_dataset_of_an_earlier_version_is_still_finished(copies: tuple[Path, Path]) -> None:
    mine, output = copies
    record = json.loads((output / "ingest.json").read_text())
    del record["source"], record["config"]["columns"], record["config"]["where"]
    (output / "ingest.json").write_text(json.dumps(record))
    assert ingest(config(mine, output)).skipped_units == 3
