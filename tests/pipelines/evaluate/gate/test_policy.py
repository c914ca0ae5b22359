"""A gate is a typed file; each preset has its own."""

import re
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.evaluate.gate import read_policy, shipped_policy, shipped_presets
from training.config import presets

LEAST = "name: mine\nfloors: {clips: 12}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return path


def test_every_preset_has_a_gate_that_is_named_after_it_and_forbids_frozen_and_black_clips():
    assert set(shipped_presets()) == set(presets())
    for preset in presets():
        policy = shipped_policy(preset)
        assert policy.name == preset
        assert (policy.floors.frozen, policy.floors.black) == (0, 0)
        assert policy.margins.keys() >= {"first_frame_psnr", "dynamic_degree"}
    with pytest.raises(
        AnimaticError, match="preset 'huge' has no gate, 1024, 1024-lora, 256, 512, 512-lora, tiny have"
    ):
        shipped_policy("huge")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\nfloors: {clip: 12}\n", "'floors.clip': did you mean 'floors.clips'?"),
        (LEAST + "margin: {flicker: 1}\n", "unknown configuration key 'margin.flicker'"),
        (
            LEAST + "margins: {fliker: 1}\n",
            "gate.yaml: margins has no metric 'fliker': did you mean 'flicker'?",
        ),
        (LEAST + "margins: {flicker: -1}\n", "margins.flicker is -1.0: an accepted loss is 0 or more"),
        (LEAST + "margins: {flicker: .nan}\n", "margins.flicker: Input should be a finite number"),
        (LEAST + "margins: {flicker: much}\n", "margins.flicker: Input should be a valid number"),
        (LEAST + "improve: [flicker]\n", "improve lists flicker, which has no margin"),
        (LEAST + "study: {question: taste, win_rate: 0.5}\n", "study.question: Input should be 'coherence'"),
        (LEAST + "study: {question: motion, win_rate: 2}\n", "study.win_rate: Input should be less than"),
        ("name: mine\nfloors: {clips: 0}\n", "floors.clips: Input should be greater than or equal to 1"),
        ("name: mine\n", "floors: Field required"),
        (
            "name: m\nfloors: {clips: 1, values: {psnr: {at_least: 3}}}\n",
            "floors.values has no metric 'psnr'",
        ),
        ("name: m\nfloors: {clips: 1, values: {flicker: {least: 3}}}\n", "'floors.values.flicker.at_least'?"),
        (
            "name: m\nfloors: {clips: 1, protocol: {strid: 3}}\n",
            "floors.protocol has no 'strid': did you mean",
        ),
        ("name: m\nfloors: {clips: 1, values: {flicker: {}}}\n", "floors.values.flicker has no bound: give"),
        (
            "name: m\nfloors: {clips: 1, values: {flicker: {at_least: 3, at_most: 2}}}\n",
            "floors.values.flicker lets no value pass",
        ),
        (LEAST + "margins: {flicker: 1, flicker: 100}\n", "the key 'flicker' occurs twice"),
        ("name: ''\nfloors: {clips: 1}\n", "name: String should have at least 1 character"),
        ("- 1", "must contain sections of keys"),
    ],
)
def test_a_mistake_in_a_gate_is_reported_in_one_line(tmp_path, text, message):
    with pytest.raises(AnimaticError, match=re.escape(message)) as caught:
        read_policy(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnimaticError, match=r"cannot read configuration .*none\.yaml"):
        read_policy(tmp_path / "none.yaml")


def test_the_digest_is_that_of_the_settings(tmp_path):
    first = read_policy(write(tmp_path, LEAST + "margins: {flicker: 1, first_frame_psnr: 2}\n"))
    second = read_policy(
        write(
            tmp_path, "# a comment\nmargins: {first_frame_psnr: 2.0, flicker: 1}\n" + LEAST + "improve: []\n"
        )
    )
    other = read_policy(write(tmp_path, LEAST + "margins: {flicker: 1, first_frame_psnr: 3}\n"))
    assert first.digest() == second.digest()
    assert first.digest() != other.digest()
