"""A dataset whose table, settings or videos change: what is made again, what is kept, what is asked."""

import json
import shutil
from pathlib import Path

import pytest
from test_ingest import contents

from models.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, ingest, retry
from tests.pipelines.footage import row, write_coded, write_table

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
def place(source: Path, finished: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A table of one's own and a copy of the dataset that was made from it."""
    mine, output = tmp_path / "source", tmp_path / "data"
    mine.mkdir()
    (mine / "videos").symlink_to(source / "videos")
    shutil.copy2(source / "table.csv", mine / "table.csv")
    shutil.copytree(finished, output)
    plan = json.loads((output / "ingest.json").read_text())
    (output / "ingest.json").write_text(json.dumps({**plan, "videos": "../source/videos"}))
    return mine, output


def test_rows_appended_to_the_table_make_new_units_only(place: tuple[Path, Path], tmp_path: Path) -> None:
    mine, output = place
    before = stamps(output)
    write_table(mine / "table.csv", rows(IDS))
    report = ingest(config(mine, output))
    assert (report.rows, report.samples, report.skipped_units) == (7, 7, 2)
    assert touched(output, before) == {"shard-000002.tar", "shard-000003.tar"}
    ingest(config(mine, tmp_path / "fresh"))
    assert contents(output) == contents(tmp_path / "fresh")


def test_a_changed_row_is_asked_about_and_then_costs_its_unit(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    mine, output = place
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
    ingest(config(mine, tmp_path / "fresh"))
    assert contents(output) == contents(tmp_path / "fresh")


def test_a_shorter_table_and_other_settings_leave_nothing_behind(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    mine, output = place
    write_table(mine / "table.csv", rows(IDS[:2]))
    with pytest.raises(AnimaticError, match=r"jpeg_quality was 95, is 90.*3 of its 3 units"):
        ingest(config(mine, output, jpeg_quality=90))
    ingest(config(mine, output, jpeg_quality=90), replace=True)
    ingest(config(mine, tmp_path / "fresh", jpeg_quality=90))
    assert contents(output) == contents(tmp_path / "fresh")
    assert verify(output) == []


def test_a_filter_counts_what_it_leaves_out_and_redoes_what_it_touches(place: tuple[Path, Path]) -> None:
    mine, output = place
    before = stamps(output)
    report = ingest(config(mine, output, where="licence < 3"), replace=True)
    assert (report.rows, report.samples, report.reasons) == (5, 3, {"filtered": 2})
    assert touched(output, before) == {"shard-000001.tar", "shard-000002.tar"}
    rejects = Dataset.open(output).rejects.to_pylist()
    assert [(reject["row"], reject["reason"]) for reject in rejects] == [(3, "filtered"), (4, "filtered")]


def test_an_untouched_table_is_not_read_again(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, output = place
    ingest(config(mine, output))  # learns of the copy's time stamps
    monkeypatch.setattr("pipelines.sources.SourceTable.survey", lambda _: pytest.fail("the table was read"))
    assert ingest(config(mine, output)).skipped_units == 3


def test_a_table_that_was_only_touched_changes_nothing(place: tuple[Path, Path]) -> None:
    mine, output = place
    before = stamps(output)
    (mine / "table.csv").touch()
    assert ingest(config(mine, output)).skipped_units == 3
    assert touched(output, before) == set()


def test_a_retry_redoes_the_rejected_rows_of_a_class(source: Path, tmp_path: Path) -> None:
    videos, output = tmp_path / "videos", tmp_path / "data"
    shutil.copytree(source / "videos", videos)
    (videos / "p" / "01.mp4").rename(tmp_path / "01.mp4")
    (videos / "p" / "02.mp4").write_bytes(b"")
    settings = config(source, output).model_copy(update={"videos": str(videos)})
    first = ingest(settings)
    assert first.reasons == {"empty_file": 1, "missing_file": 1}
    with pytest.raises(AnimaticError, match=r"no row .* decoder_crash; it has empty_file, missing"):
        retry(str(output), ["decoder_crash"])
    with pytest.raises(AnimaticError, match="mend the table"):
        retry(str(output), ["no_caption"])
    with pytest.raises(AnimaticError, match="crf decides"):
        retry(str(output), ["missing_file"], crf=23)

    # A sample that is copied, not made again, survives the loss of its video.
    (videos / "p" / "00.mp4").unlink()
    (tmp_path / "01.mp4").rename(videos / "p" / "01.mp4")
    before = stamps(output)
    report = retry(str(output), ["missing_file"], workers=1, deadline_s=60)

    assert (report.samples, report.reasons) == (4, {"empty_file": 1})
    assert report.digest != first.digest
    assert touched(output, before) == {"shard-000000.tar"}
    assert verify(output) == []
    shutil.copy2(source / "videos" / "p" / "00.mp4", videos / "p")
    ingest(settings.model_copy(update={"output": str(tmp_path / "fresh")}))
    assert contents(output) == contents(tmp_path / "fresh")


def test_a_retry_that_was_stopped_is_completed_by_ingest(place: tuple[Path, Path]) -> None:
    mine, output = place
    before = contents(output)
    (output / "dataset.json").unlink()
    (output / "units" / "unit-000001.json").unlink()
    with pytest.raises(AnimaticError, match="did not finish"):
        retry(str(output), ["missing_file"])
    ingest(config(mine, output))
    assert contents(output).keys() == before.keys()
    assert verify(output) == []


def test_a_dataset_of_an_earlier_version_is_still_finished(place: tuple[Path, Path]) -> None:
    mine, output = place
    plan = json.loads((output / "ingest.json").read_text())
    del plan["source"], plan["config"]["columns"], plan["config"]["where"]
    (output / "ingest.json").write_text(json.dumps(plan))
    assert ingest(config(mine, output)).skipped_units == 3
