"""The card of a dataset: counted exactly, escaped, kept up to date by every commit, no part of the digest."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.card import CardSettings, read_card, write_card
from pipelines.dataset import Dataset
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.records import RowOutcome
from pipelines.dataset.unit_facts import commit_with_facts
from pipelines.dataset.verify import verify
from pipelines.loader import WeightedDataset
from pipelines.reshape import merge
from pipelines.takedown import take_down
from tests.support.stored_samples import sample

ROWS = {
    "a": {"contentUrl": "https://user:secret@videos.example/a.mp4?token=x", "License": "CC-BY"},
    "b": {"contentUrl": "https://videos.example/b.mp4", "License": "CC-BY", "rights": "none"},
    "c": {"url": "s3://bucket/c.mp4", "License": "own | <b>bold</b>"},
    "d": {"page_dir": "x"},
}


def build(folder: Path, ids: str = "abcd") -> Dataset:
    for unit, names in enumerate((ids[:2], ids[2:])):
        samples = [sample(name) for name in names]
        for name, each in zip(names, samples, strict=True):
            each.info["record"] = ROWS[name]
            each.info["encoders"] = {"mp4": {"name": "x264 core 165", "options": {}}}
        outcomes: list[RowOutcome] = [
            {"row": 2 * unit + n, "source_id": name, "samples": 1} for n, name in enumerate(names)
        ]
        commit_with_facts(Folder(folder), unit, samples, outcomes, {})
    commit_dataset(Folder(folder), {"seed": 1, "filters": {"min_motion": 0.5}}, 2, len(ids))
    return Dataset.open(folder)


def test_hosts_licences_and_measures_are_counted(tmp_path: Path) -> None:
    dataset = build(tmp_path / "data")
    card = write_card(dataset.folder, CardSettings(license="CC-BY-4.0", source="my  camera"))
    assert {each["value"]: each["samples"] for each in card["hosts"]["most"]} == {
        "videos.example": 2,
        "local files": 1,
        "s3://bucket": 1,
    }
    assert card["licences"]["most"][0] == {"value": "CC-BY", "samples": 2}
    assert card["hours"] == pytest.approx(4 * 1.125 / 3600, abs=1e-6)
    assert card["ranges"]["seconds"] == [1.125, 1.125] and card["captions"] == {"some": 4, "several": 0}
    assert card["stated"] == {"license": "cc-by-4.0", "source": "my camera"}
    assert card["tools"]["encoders"] == {"mp4: x264 core 165": 4}
    assert read_card(dataset.folder) == card
    assert Dataset.open(tmp_path / "data").digest == card["digest"] == dataset.digest
    assert verify(tmp_path / "data") == []


def test_the_page_is_a_card_of_the_hub_without_markup_or_secrets_of_values(tmp_path: Path) -> None:
    dataset = build(tmp_path / "data")
    write_card(dataset.folder, CardSettings(license="cc-by-4.0", title='a "b": c'))
    text = (tmp_path / "data" / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == "cc-by-4.0" and head["size_categories"] == ["n<1K"]
    assert head["task_categories"] == ["image-to-video"] and head["pretty_name"] == 'a "b": c'
    assert DatasetCard(text).data.license == "cc-by-4.0"
    assert r"own \| \<b\>bold\</b\>" in text and "<b>" not in text
    assert "secret" not in text and "token" not in text
    assert "shard-{000000..000001}.tar" in text and "min\\_motion" in text


def test_what_was_stated_stays_until_it_is_stated_otherwise(tmp_path: Path) -> None:
    folder = build(tmp_path / "data").folder
    write_card(folder, CardSettings(license="mit", terms_url="https://example.org/terms"))
    assert write_card(folder)["stated"]["license"] == "mit"
    assert write_card(folder, CardSettings(license="cc0-1.0", terms_url=""))["stated"] == {
        "license": "cc0-1.0"
    }
    before = (tmp_path / "data" / "README.md").read_bytes()
    write_card(folder)
    assert (tmp_path / "data" / "README.md").read_bytes() == before


def test_a_page_that_is_the_users_own_stays(tmp_path: Path) -> None:
    folder = build(tmp_path / "data").folder
    (tmp_path / "data" / "README.md").write_text("# mine")
    write_card(folder, CardSettings(license="mit"))
    assert (tmp_path / "data" / "README.md").read_text() == "# mine"
    assert read_card(folder)["stated"] == {"license": "mit"}


def test_a_card_of_an_older_dataset_is_counted_from_its_samples(tmp_path: Path) -> None:
    folder = build(tmp_path / "data").folder
    card = write_card(folder)
    for file in (tmp_path / "data" / "facts").glob("*"):
        file.unlink()
    (tmp_path / "data" / "facts" / "unit-000001.json").write_text("{")
    assert write_card(folder) == card
    other = write_card(folder, CardSettings(license_column="rights"))
    assert other["licences"]["most"] == [{"value": "none", "samples": 1}]


def test_a_takedown_leaves_nothing_of_the_video_in_the_card(tmp_path: Path) -> None:
    dataset = build(tmp_path / "data")
    write_card(dataset.folder, CardSettings(license="mit"))
    take_down(dataset.url, ["c"], date="2026-11-26", reason="")
    card = read_card(dataset.folder)
    assert card["digest"] == Dataset.open(dataset.url).digest and card["stated"] == {"license": "mit"}
    assert card["takedowns"] == {"takedowns": 1, "videos": 1, "samples": 1}
    for file in (tmp_path / "data").rglob("*"):
        assert not file.is_file() or b"bucket" not in file.read_bytes(), file


def test_a_merged_dataset_names_the_licences_of_its_sources(tmp_path: Path) -> None:
    a, b = build(tmp_path / "a", "ab"), build(tmp_path / "b", "cd")
    write_card(a.folder, CardSettings(license="mit", source="one"))
    write_card(b.folder, CardSettings(license="cc0-1.0", source="one"))
    merge(f"{tmp_path}/out", [a.url, b.url])
    card = read_card(Folder(tmp_path / "out"))
    assert card["stated"] == {"source": "one"}
    assert [origin["stated"]["license"] for origin in card["origins"]] == ["mit", "cc0-1.0"]
    assert card["made_from"]["operation"] == "merge"
    text = (tmp_path / "out" / "README.md").read_text()
    assert "## Made from" in text and a.digest in text and "cc0-1.0" in text
    again = write_card(Folder(tmp_path / "out"))
    assert again == card


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("license", "cc-bye"),
        ("terms_url", "javascript:x"),
        ("source", "https://u:p@x/y"),
        ("title", "x" * 300),
    ],
)
def test_what_a_card_cannot_state_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        CardSettings(**{name: value})


def test_a_model_is_told_what_the_card_of_the_present_state_says(tmp_path: Path) -> None:
    dataset = build(tmp_path / "data")
    bare = WeightedDataset(dataset).summary()
    assert (bare["samples"], bare["hours"], bare["filters"]) == (4, None, "min_motion=0.5")
    write_card(
        dataset.folder, CardSettings(license="other", license_name="Ours", terms_url="https://e.org/t")
    )
    known = WeightedDataset(dataset).summary()
    assert (known["licence"], known["link"]) == ("Ours", "https://e.org/t")
    assert known["source"].startswith("videos.example") and known["row_licences"][0] == "CC-BY"
    card = json.loads((tmp_path / "data" / "card.json").read_text())
    (tmp_path / "data" / "card.json").write_text(json.dumps({**card, "digest": "0" * 64}))
    assert WeightedDataset(dataset).summary() == bare


def test_a_shard_that_is_missing_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    dataset = build(tmp_path / "data")
    (tmp_path / "data" / "facts" / "unit-000000.json").unlink()
    (tmp_path / "data" / "shard-000000.tar").unlink()
    with pytest.raises(AnimaticError, match="animatic verify"):
        write_card(dataset.folder)
    assert json.loads((tmp_path / "data" / "dataset.json").read_text())["digest"] == dataset.digest
