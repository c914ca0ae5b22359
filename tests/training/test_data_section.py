"""The model card names the datasets of a run as it recorded them, and shows what tables wrote as text."""

from pathlib import Path

from models.bundle import DatasetSummary
from training import events
from training.data_section import data_section
from training.journal import Journal

DATA: DatasetSummary = {
    "digest": "d" * 64,
    "samples": 12345,
    "hours": 7.5,
    "licence": "cc-by-4.0",
    "row_licences": ["CC BY", "own | <b>"],
    "source": "videos.example",
    "filters": "where x > 1, min_motion=0.5",
    "link": "https://example.org/terms",
}
UNKNOWN: DatasetSummary = {
    **DATA,
    "digest": "e" * 64,
    "hours": None,
    "licence": "",
    "row_licences": [],
    "source": "",
    "filters": "",
    "link": "",
}


def started(digest: str, *datasets: DatasetSummary) -> events.Started:
    return events.Started(
        config_hash="c", stage=0, preset="tiny", steps=1, workers=1, device="cpu", parameters=1, trainable=1,
        weights=1, trainable_weights=1, clips=1, dataset_digest=digest, base=None, parent=None, code="0",
        datasets=datasets,
    )  # fmt: skip


def test_each_dataset_has_a_row_of_what_its_card_states(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.record(0, started("other", UNKNOWN))
    journal.record(0, started("mix", DATA, UNKNOWN))
    *_, first, second = data_section(tmp_path / "journal.jsonl", "mix").strip().splitlines()
    assert first == (
        f"| {'d' * 64} | 12,345 | 7.50 | cc-by-4.0; of its rows: CC BY, own \\| \\<b\\> | videos.example | "
        "where x \\> 1, min\\_motion=0.5 | https://example.org/terms |"
    )
    assert second == f"| {'e' * 64} | 12,345 | not known | not stated | not stated | none | not stated |"


def test_a_run_that_recorded_nothing_has_no_section(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.jsonl").record(0, started("mix"))
    assert data_section(tmp_path / "journal.jsonl", "mix") == ""
    assert data_section(tmp_path / "missing.jsonl", "mix") == ""
