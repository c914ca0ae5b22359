"""`animatic dataset`: what it prints, what it refuses, and that other verbs work on what it makes."""

import json
from pathlib import Path

import pytest

from pipelines.dataset import Dataset
from tests.support.coded_clips import build_dataset
from tests.support.command import run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    return build_dataset(tmp_path / "data", [40] * 6, sizes=[3, 3])


def ok(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_parts_are_split_merged_and_used_by_other_verbs(data: Dataset, tmp_path: Path) -> None:
    split = json.loads(ok("dataset", "split", "data", "train=4", "held-out=rest", "--json"))["datasets"]
    assert [each["samples"] for each in split] == [4, 2]
    printed = ok("dataset", "merge", "data-train", "data-held-out", "--out", "whole")
    assert "6 rows: 6 samples\n" in printed and f"dataset {Dataset.open('whole').digest[:8]}" in printed
    assert sorted(Dataset.open("whole").samples["key"].to_pylist()) == data.samples["key"].to_pylist()
    ok("dataset", "reshard", "whole", "--out", "small", "--shard-rows", "2")
    for name in ("data-train", "whole", "small"):
        assert "is intact" in ok("verify", name, "--deep")
    ok("inspect", "small", "--clips", "0")
    ok("takedown", "small", "--source-id", "3")
    ok("encode", "small", "--to", "latents", "--preset", "tiny", "--workers", "0")
    assert "is intact" in ok("verify", "small") and "is intact" in ok("verify", "latents")
    assert len(Dataset.open("small")) == 5
    refused = run("retry", "whole", "--class", "missing_file")
    assert refused.exit_code == 1 and "data-train" in refused.stderr


def test_a_subset_is_named_by_file_and_limits(data: Dataset, tmp_path: Path) -> None:
    Path("keys.txt").write_text("# chosen\nclip-0001\n\nclip-0004\n")
    printed = ok("dataset", "subset", "data", "--out", "few", "--keys", "keys.txt", "--min", "frames=40")
    assert "2 rows: 2 samples, 4 left out (not selected)" in printed
    assert Dataset.open("few").samples["key"].to_pylist() == ["clip-0001", "clip-0004"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("merge data --out new", "at least two datasets"),
        ("merge data data", "name the result: --out"),
        ("subset data data --out new --count 1", "subset takes one dataset"),
        ("subset data --out new", "name the samples of the subset"),
        ("subset data --out new --min frames", "--min 'frames': give a column and a number"),
        ("subset data --out new --max frames=nan", "give a column and a number"),
        ("subset data --out new --keys missing.txt", "keys in missing.txt cannot be read"),
        ("subset data --out new --count 1 --rename x", "--rename is without effect with subset"),
        ("split data train", "share of part train"),
        ("reshard data --out new", "name the size of the shards"),
        ("reshard data --out data --shard-rows 1", "choose a new output folder"),
        ("reshard missing --out new --shard-rows 1", "no dataset at"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_fix(data: Dataset, words: str, message: str) -> None:
    result = run("dataset", *words.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_card_states_what_it_is_told(data: Dataset) -> None:
    printed = ok("dataset", "card", "data", "--set", "card.license=CC-BY-4.0", "--set", "card.source=cameras")
    assert "cc-by-4.0" in printed and "cameras" in printed
    assert "license: cc-by-4.0" in Path("data/README.md").read_text()
    card = json.loads(ok("dataset", "card", "data", "--json"))["card"]
    assert card["counts"]["samples"] == 6 and card["stated"]["license"] == "cc-by-4.0"
    assert "is intact" in ok("verify", "data")
    bad = run("dataset", "card", "data", "--set", "card.license=cc-bye")
    assert bad.exit_code == 1 and "did you mean" in bad.stderr and len(bad.stderr.splitlines()) == 1
    bad = run("dataset", "card", "missing")
    assert bad.exit_code == 1 and "no dataset at missing" in bad.stderr and not Path("missing").exists()


def test_a_takedown_lists_the_datasets_that_were_made_with_the_video(data: Dataset) -> None:
    ok("dataset", "split", "data", "one=3", "two=rest")
    ok("dataset", "reshard", "data", "--out", "runs/all", "--shard-rows", "2")
    (holder,) = (
        name
        for name in ("data-one", "data-two")
        if "3" in Dataset.open(name).samples["source_id"].to_pylist()
    )
    copies = json.loads(ok("takedown", "data", "--source-id", "3", "--dry-run", "--json"))["copies"]
    assert {each["path"] for each in copies} == {holder, "runs/all"}
    assert all("with 1 of their clips" in each["content"] for each in copies)
    both = json.loads(ok("takedown", "data", holder, "--source-id", "3", "--json"))["copies"]
    assert [each["path"] for each in both] == ["runs/all"]
