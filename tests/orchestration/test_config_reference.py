"""docs/configuration.md: current, and with a meaning for every key of every configuration class."""

import pytest

from core.config.reference import sections
from orchestration.config_reference import (
    CONFIGURATIONS,
    DOCUMENT,
    Configuration,
    reference,
    update,
)
from training.config import resolve
from training.config.presets import presets


def test_the_document_is_current(tmp_path):
    document = tmp_path / "configuration.md"
    document.write_text(DOCUMENT.read_text())
    update(document)
    assert document.read_text() == DOCUMENT.read_text(), "run `make config-reference`"


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each.name)
def test_every_key_has_a_meaning_and_every_section_a_docstring(configuration: Configuration):
    for section in sections(configuration.model):
        assert section.model.__doc__, section.name
        assert [name for name, field in section.keys if not field.description] == []


def test_every_key_of_a_run_is_listed_with_its_values_and_default():
    lines = reference().splitlines()
    training = CONFIGURATIONS[0].model
    names = [name for section in sections(training) for name, _ in section.keys]
    assert all(any(line.startswith(f"| `{name}` | ") for line in lines) for name in names)
    assert "| `train.zero_stage` | 0, 1, 2, 3 | `2` | DeepSpeed ZeRO stage |" in lines
    assert any(line.startswith("| `data.buckets[].height` | integer ≥ 8 | required |") for line in lines)
    assert any(line.startswith("| `optimizer.betas` | [number, number] | `[0.9, 0.999]` |") for line in lines)


def test_the_table_of_presets_states_the_clips_of_each():
    text = DOCUMENT.read_text()
    for name in presets():
        model = resolve(3, name).model
        assert f"| `{name}` | {model.frames} frames of {model.height}x{model.width} |" in text
