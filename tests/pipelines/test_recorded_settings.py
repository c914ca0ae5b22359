"""What jobs record of their settings: digests hold when later versions have more settings."""

from pathlib import Path
from typing import Any

import pytest

from core.canonical_json import digest_of
from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings
from pipelines.dataset.latent_records import LatentKey
from pipelines.evaluate.systems.bundle import RECORDED_SAMPLING
from pipelines.ingest import IngestConfig, inputs
from pipelines.ingest.inputs import IngestInputs, rows_digest
from pipelines.loader.captions import IDENTITY as CAPTIONS
from pipelines.loader.captions import Captions
from pipelines.loader.selection import IDENTITY, Selection
from pipelines.sources import ColumnNames, SourceRow, SourceTable
from pipelines.video.settings import RECORDED_WATERMARK, Watermark
from tests.support.footage import row, write_table
from tests.support.grown_models import ADDED, grown

MARKED: dict[str, Any] = {
    "watermark": {"box": [0, 0, 0.3, 0.2], "action": "crop"},
    "filters": {"like": "recommended", "min_motion": 0.1},
    "columns": {"name": "caption"},
    "where": "x > 1",
    "unit_rows": 3,
    "scene_threshold": 10,
    "deadline_s": 4,
    "fetch": {"attempts": 9},
}


@pytest.fixture
def table(tmp_path: Path) -> SourceTable:
    write_table(tmp_path / "table.csv", [row("01")])
    return SourceTable(str(tmp_path / "table.csv"))


def inputs_of(model: type[IngestConfig], table: SourceTable, **settings: Any) -> IngestInputs:
    return IngestInputs.of(model(source="/s/t.csv", output="/o", **settings), table)


@pytest.mark.parametrize(
    ("settings", "recorded", "of_units"),
    [
        ({}, "8276263da3410cc1", "f430e673d93ac3f8"),
        ({"videos": "/v", "short_side": 64, "seed": 4}, "13fb28924a754368", "5363624688361bbd"),
        (MARKED, "819c31706107719a", "2606a279d8508cf0"),
    ],
)
def test_recorded_digests_of_settings_hold(
    table: SourceTable, settings: dict[str, Any], recorded: str, of_units: str
) -> None:
    made = inputs_of(IngestConfig, table, **settings)
    assert digest_of({**made.config, "source_sha256": "0" * 64}).startswith(recorded)
    assert made.unit_settings.startswith(of_units)


@pytest.mark.parametrize("section", ["", "columns", "filters", "watermark"])
def test_a_setting_added_later_counts_once_it_leaves_its_default(
    table: SourceTable, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    before = inputs_of(IngestConfig, table, **MARKED)
    settings = before.unit_settings
    larger = grown(IngestConfig, section)
    monkeypatch.setattr(inputs, "IngestConfig", larger)
    same = inputs_of(larger, table, **MARKED)
    assert (same.config, same.unit_settings) == (before.config, settings)
    changed = {**MARKED, **({section: {**MARKED[section], ADDED: 1}} if section else {ADDED: 1})}
    other = inputs_of(larger, table, **changed)
    assert before.changes(other)
    # How columns are read belongs to a unit's rows.
    assert (other.unit_settings == settings) == (section == "columns")


def test_names_of_columns_added_later_leave_the_digest_of_rows() -> None:
    larger = grown(ColumnNames)
    old, same, changed = (
        rows_digest([SourceRow(0, {"videoid": "a"}, None, columns)])
        for columns in (
            ColumnNames(name="caption"),
            larger(name="caption"),
            larger(name="caption", **{ADDED: 1}),
        )
    )
    assert old == same != changed


def test_a_watermark_is_recorded_by_the_same_rule() -> None:
    values = {"box": (0, 0, 0.3, 0.2), "action": "crop"}
    recorded = {"box": [0, 0, 0.3, 0.2], "action": "crop", "tag": "watermark"}
    larger = grown(Watermark)
    assert RECORDED_WATERMARK.values(Watermark(**values)) == recorded
    assert RECORDED_WATERMARK.values(larger(**values)) == recorded
    assert RECORDED_WATERMARK.values(larger(**values, **{ADDED: 1})) == {**recorded, ADDED: 1}


def test_settings_of_another_version_are_not_applied_in_part(table: SourceTable) -> None:
    made = inputs_of(IngestConfig, table)
    foreign = IngestInputs({**made.config, "sharpen": 1}, made.videos, made.source, made.rows, made.files)
    with pytest.raises(AnimaticError, match=r"another version of animatic: .*'sharpen'"):
        _ = foreign.unit_settings


def test_the_protocol_of_an_evaluation_grows_by_the_same_rule() -> None:
    larger = grown(SamplingSettings)
    recorded = SamplingSettings().model_dump(exclude={"seed"})
    assert (
        RECORDED_SAMPLING.values(SamplingSettings(seed=3))
        == RECORDED_SAMPLING.values(larger(seed=4))
        == recorded
    )
    assert RECORDED_SAMPLING.values(larger(**{ADDED: 1})) == {**recorded, ADDED: 1}


def test_the_identity_of_latents_grows_by_the_same_rule() -> None:
    values: dict[str, Any] = {"height": 320, "width": 512, "codec": "c" * 64, "text": None, "clips": True}
    values["precision"] = "float32"
    recorded = "ba4862e46f9e09588f5c64ffe10ffdcdc599c047fe2d00d910b78d4162e9f289"
    larger = grown(LatentKey)
    assert digest_of(LatentKey(**values).identity()) == recorded
    assert digest_of(larger(**values).identity()) == recorded
    assert digest_of(larger(**values, **{ADDED: 1}).identity()) != recorded
    assert larger.recorded(LatentKey(**values).identity()) == larger(**values)


def test_the_identity_of_a_selection_grows_by_the_same_rule() -> None:
    larger = grown(Selection)
    recorded = {"skip_duplicates": True, "min_clip_similarity": None}
    assert IDENTITY.values(Selection(skip_duplicates=True)) == recorded
    assert IDENTITY.values(larger(skip_duplicates=True)) == recorded
    limits = {"min": {"flow": 2.0}}
    assert IDENTITY.values(Selection(skip_duplicates=True, **limits)) == {**recorded, **limits}
    assert IDENTITY.values(larger(skip_duplicates=True, **{ADDED: 1})) == {**recorded, ADDED: 1}


def test_the_identity_of_a_choice_of_captions_grows_by_the_same_rule() -> None:
    larger = grown(Captions)
    recorded = {"sources": ["table"], "weights": None, "draw": "first"}
    assert CAPTIONS.values(Captions(draw="first")) == recorded
    assert CAPTIONS.values(larger(draw="first")) == recorded
    assert CAPTIONS.values(larger(draw="first", **{ADDED: 1})) == {**recorded, ADDED: 1}
