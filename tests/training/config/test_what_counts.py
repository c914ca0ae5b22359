"""Every setting either decides a run's hash or is listed as one that does not."""

from typing import Any

import pytest
from pydantic import BaseModel

from models.architecture import StudentConfig, TowerConfig
from models.network.adapter_settings import AdapterSettings
from tests.support.motion import CALIBRATION
from training.config import RunConfig, config_hash, resolve, trajectory_hash
from training.config.identity import (
    LAYOUT_FIELDS,
    NON_IDENTITY_FIELDS,
    NON_TRAJECTORY_FIELDS,
    trajectory_hash_1,
)

BASE = resolve(
    3,
    "512",
    [
        "data.buckets=[{height: 320, width: 512, frames: 16}]",
        "data.others=[{dataset: /d}]",
        "model.codec.path=/c",
        "validation.prompts=[a]",
    ],
)


def leaves(model: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Dotted names and values of all settings that are not sections."""
    found: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


TOWER = TowerConfig(width=8, layers=1, heads=1)
OTHERS: dict[str, Any] = {
    "model.encoders.text": TOWER,
    "model.encoders.image": TOWER,
    "data.selection.min_clip_similarity": 0.5,
    "data.selection.min": {"flow": 1.0},
    "data.selection.max": {"flow": 1.0},
    "data.captions.weights": [1.0],
    "data.captions.draw": "first",
    "data.sampling.target_fps": (4.0, 8.0),
    "data.sampling.tempo": (0.5, 1.0),
    "data.sampling.condition": "last",
    "train.adapter": AdapterSettings(),
    "train.ema_decay": 0.5,
    "train.trainable": ["another"],
    "train.keep_every": 5,
    "optimizer.kind": "adamw_8bit",
    "optimizer.decay_steps": 5,
    "objective.min_snr_gamma": 5.0,
    "objective.condition_share": 0.5,
    "model.student": StudentConfig(text_guidance=(1.0, 4.0)),
    "guard.spike_mad": 5.0,
    "guard.rollback_after": 5,
    "observe.peak_tflops": 5.0,
    "launch.min_workers": 5,
    "validation.sampling.image_guidance": 2.0,
    "validation.sampling.motion": 2.0,
    "model.motion_calibration": CALIBRATION,
}


def another(name: str, value: Any) -> Any:
    """A value of the setting's type that differs; whether it is within bounds does not matter here."""
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return tuple(number + 1 for number in value)
    if isinstance(value, list):
        return [*value, *(value[:1] or ["another"])]
    return "another"


def replaced(model: BaseModel, name: str, value: Any) -> Any:
    """The configuration with one setting changed, unchecked."""
    head, _, rest = name.partition(".")
    inner = replaced(getattr(model, head), rest, value) if rest else value
    return model.model_copy(update={head: inner})


def listed(name: str, fields: frozenset[str]) -> bool:
    return any(name == field or name.startswith(f"{field}.") for field in fields)


LEAVES = leaves(BASE)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", LEAVES)
def test_a_setting_counts_unless_it_is_listed(name: str) -> None:
    changed = replaced(BASE, name, another(name, LEAVES[name]))
    in_recipe = not listed(name, NON_IDENTITY_FIELDS)
    in_trajectory_1 = in_recipe and not listed(name, NON_TRAJECTORY_FIELDS)
    in_trajectory = in_trajectory_1 and not listed(name, LAYOUT_FIELDS)
    assert (config_hash(changed) != config_hash(BASE)) == in_recipe
    assert (trajectory_hash(changed) != trajectory_hash(BASE)) == in_trajectory
    assert (trajectory_hash_1(changed) != trajectory_hash_1(BASE)) == in_trajectory_1


@pytest.mark.parametrize("field", sorted(NON_IDENTITY_FIELDS | NON_TRAJECTORY_FIELDS | LAYOUT_FIELDS))
def test_a_listed_setting_exists(field: str) -> None:
    model: Any = RunConfig.model_construct(**dict(BASE))
    for part in field.split("."):
        model = getattr(model, part)


@pytest.mark.parametrize(
    "assignment",
    [
        "data.selection.skip_duplicates=true",
        "data.selection.min_clip_similarity=0.2",
        "data.selection.min.flow=0.2",
        "data.sampling.flip=true",
        "data.sampling.target_fps=[4,8]",
        "data.sampling.tempo=[0.5,1]",
        "data.sampling.short_clips=skip",
        "data.sampling.condition=first",
        "data.sampling.drop_both=0.1",
        "data.shuffle_shards=3",
        "seed=5",
        "optimizer.grad_clip=0.25",
    ],
)
def test_how_samples_are_taken_decides_the_hash(assignment: str) -> None:
    plain, changed = resolve(3, "512"), resolve(3, "512", [assignment])
    assert config_hash(changed) != config_hash(plain)
    assert trajectory_hash(changed) != trajectory_hash(plain)
