"""A takedown lists what has seen the videos and files with pictures of them, and changes none of it."""

import dataclasses
import json
from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workflows.takedown import TakedownOptions, TakedownReport, read_ids, takedown
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from tests.support.coded_clips import build_dataset
from tests.support.command import fails, run
from tests.support.dataset_files import contents
from tests.support.evaluations import write_report
from tests.support.promotions import moving_clips, promote
from tests.support.small_stages import make_bundle, small_config
from training.config.run import dump_yaml


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run that ended with the champion, one that was stopped, and one on other data."""
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    data = build_dataset(root / "data", [8] * 4, sizes=[2, 2])
    other = build_dataset(root / "other", [9] * 4)
    for name, dataset in {"ended": data, "stopped": data, "elsewhere": other}.items():
        write_run(root / name, dataset)
    make_bundle(root / "ended" / "bundle", datasets=[record_of(data)])
    champion = open_bundle(root / "ended" / "bundle")
    note(root / "ended", event="bundle", path="bundle", id=champion.id)
    ledger = Workspace(root).ledger
    accept(ledger, champion)
    promote(ledger, champion)
    clips = [
        dataclasses.replace(pair, clip=dataclasses.replace(pair.clip, source=str(number)))
        for number, pair in enumerate(moving_clips())
    ]
    write_report(root / "evaluations" / "of-champion", clips, {"digest": champion.id})
    (root / "ended" / "samples").mkdir()
    (root / "ended" / "samples" / "step-00000002-0.png").write_bytes(b"picture")
    (root / "inspect").mkdir()
    (root / "inspect" / f"data-{data.digest[:8]}.html").write_text("pictures")
    return root


def write_run(folder: Path, dataset: Dataset) -> None:
    folder.mkdir()
    config = small_config(3)
    config = config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset.url})})
    (folder / "config.yaml").write_text(dump_yaml(config))
    note(
        folder,
        event="start",
        config_hash="c" * 64,
        stage=3,
        preset="tiny",
        dataset_digest=dataset.digest,
        datasets=[record_of(dataset)],
        base=None,
        parent=None,
    )


def record_of(dataset: Dataset) -> dict[str, object]:
    return {"digest": dataset.digest, "latents": None, "weights": [[0, 1.0]], "selection": {}, "scores": None}


def note(folder: Path, **content: object) -> None:
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"time": 0.0, "step": 0, **content}) + "\n")


def call(root: Path, *ids: str, dry_run: bool = False) -> TakedownReport:
    options = TakedownOptions((f"{root}/data",), ids, reason="a person asks", dry_run=dry_run)
    return takedown(options, Workspace(root), lambda done, total: None)


def test_it_lists_runs_bundles_reports_the_champion_and_pictures(root: Path) -> None:
    before = contents(root)
    planned = call(root, "2", dry_run=True)
    assert contents(root) == before
    report = call(root, "2")
    assert (report.seen, report.copies) == (planned.seen, planned.copies)
    champion = open_bundle(root / "ended" / "bundle").id
    assert [(each.kind, each.name) for each in report.seen] == [
        ("run", "ended"),
        ("run", "stopped"),
        ("bundle", "stage 3, tiny"),
        ("report", f"{champion[:12]}-tests"),
        ("report", "of-champion"),
        ("alias", "champion of tiny"),
    ]
    assert [copies.path for copies in report.copies] == [
        "runs/evaluations/of-champion/chunks/chunk-00000.npz",
        "runs/ended/samples",
        f"runs/inspect/data-{planned.datasets[0].plan.digest[:8]}.html",
    ]
    assert report.unfinished_runs == ("runs/stopped",)
    assert report.commands == (f'animatic withdraw {champion[:12]} --reason "a video was taken down"',)
    after = contents(root)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {
        f"data/{name}"
        for name in (
            "README.md",
            "card.json",
            "facts/unit-000000.json",
            "facts/unit-000001.json",
            "dataset.json",
            "rejects.parquet",
            "samples.parquet",
            "shard-000001.tar",
            "takedowns.json",
            "units/unit-000001.json",
        )
    }
    assert verify(root / "data", deep=True) == []


def test_it_lists_the_same_when_it_is_called_again_and_after_another_takedown(root: Path) -> None:
    first = call(root, "2")
    write_run(root / "later", Dataset.open(root / "data"))
    second = call(root, "0")
    assert [each.name for each in second.seen if each.kind == "run"] == ["ended", "later", "stopped"]
    again = call(root, "2")
    assert [each.name for each in again.seen if each.certain] == [each.name for each in first.seen]
    assert again.datasets[0].plan.already == ("2",) and not again.absent


def test_the_command_prints_what_was_done_and_fails_only_if_no_dataset_has_any_video(root: Path) -> None:
    done = run("takedown", "runs/data", "--source-id", "2", "--source-id", "missing")
    assert done.exit_code == 0, done.output
    for part in ("1 clip of 1 row removed", "shard-000001.tar", "champion of tiny", "not found: missing"):
        assert part in done.stdout
    fails("no dataset has the video", "takedown", "runs/data", "--source-id", "missing")
    document = json.loads(run("takedown", "runs/data", "--source-id", "2", "--dry-run", "--json").stdout)
    assert document["datasets"][0]["plan"]["already"] == ["2"]


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"\xef\xbb\xbf1\r\n\r\n2\r\n", ["1", "2"]),
        ("# asked in May\n a b \n-x\né\n".encode(), ["a b", "-x", "é"]),
    ],
    ids=["windows", "comments"],
)
def test_ids_are_read_one_a_line(tmp_path: Path, content: bytes, ids: list[str]) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    assert read_ids(tmp_path / "ids.txt") == ids


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe1\x00", "is not UTF-8"), (b"\n# nothing\n", "has no id"), (b"a\0b\n", "NUL")],
    ids=["utf-16", "empty", "binary"],
)
def test_a_file_that_names_no_ids_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(AnimaticError, match=message):
        read_ids(tmp_path / "ids.txt")


def test_what_cannot_be_used_is_refused_before_anything_changes(root: Path, tmp_path: Path) -> None:
    before = contents(root)
    fails("name the videos", "takedown", "runs/data")
    fails("no dataset at", "takedown", "runs/data", "runs/gone", "--source-id", "2")
    fails("no latents at", "takedown", "runs/data", "--source-id", "2", "--latents", "runs/other")
    fails("cannot be read", "takedown", "runs/data", "--file", "missing.txt")
    assert contents(root) == before
