"""Hashes of runs: those recorded earlier hold, whatever fields later versions add."""

from typing import Any

import pytest

from core.config.layers import merged, nested
from tests.support.grown_models import ADDED, grown
from training.config import RunConfig, config_hash, resolve, trajectory_hash
from training.config.identity import trajectory_hash_1

# Written into bundles and checkpoints that exist: a change here makes them another run's.
RECORDED = {
    ("tiny", 0): ("ba46ea5762ec7124", "2d6882380e97f436"),
    ("tiny", 1): ("cc208ba0beeefc66", "0e593b1e4b28636c"),
    ("tiny", 2): ("29c992d3b0b81e47", "2ef9af2ae3aa1abc"),
    ("tiny", 3): ("8e051a722d8ea85b", "66130685f628d484"),
    ("256", 0): ("1a325ca379dccfd4", "04f023cdc9f4baf3"),
    ("256", 1): ("a596d1960ae7d1ed", "dc5b1d9af03c24d0"),
    ("256", 2): ("2f703a5854fafab5", "4c93ad20b41659ce"),
    ("256", 3): ("be43d08be30671b6", "7a6d27f34a126cab"),
    ("512", 0): ("4c39e3edb7449a2d", "e8197c53e883e3a7"),
    ("512", 1): ("b51d4e195d39afbd", "e34d11e7c6ef4678"),
    ("512", 2): ("a48a1af753c1e98c", "697aa1c311c47568"),
    ("512", 3): ("5657fa8a4e8af509", "29410b47778a471b"),
    ("1024", 0): ("912ac28d1c343c19", "2c419d756045514a"),
    ("1024", 1): ("26c8c35a85730108", "7554f484691f4982"),
    ("1024", 2): ("ce78b537cd94e780", "896b700a24cfa5c8"),
    ("1024", 3): ("78d38652b0ea1e2b", "0c7748eb287c6f63"),
}
SECTIONS = (
    "",
    "model",
    "model.unet",
    "model.context",
    "model.diffusion",
    "model.encoders",
    "model.codec",
    "data",
    "data.selection",
    "data.sampling",
    "optimizer",
    "train",
    "ablation",
)


def hashes(config: RunConfig) -> tuple[str, str]:
    return config_hash(config)[:16], trajectory_hash_1(config)[:16]


@pytest.mark.parametrize(("preset", "stage"), RECORDED)
def test_recorded_hashes_of_presets_hold(preset: str, stage: int) -> None:
    assert hashes(resolve(stage, preset)) == RECORDED[preset, stage]


@pytest.mark.parametrize(
    ("sets", "recorded"),
    [
        (["data.selection.skip_duplicates=true"], ("e67e5cc1f46293b0", "71648b4a2c1d353e")),
        (["data.shuffle_shards=3"], ("64848f896cd655af", "7a717d8d72231125")),
        (
            [
                "data.buckets=[{height: 320, width: 512, frames: 16}, "
                "{height: 512, width: 320, frames: 16, batch: 3}]"
            ],
            ("8bccbd3cb927bc16", "99cfbadca10e7a0d"),
        ),
        (
            [
                "data.sampling.target_fps=[4,8]",
                "data.sampling.flip=true",
                "data.sampling.short_clips=skip",
            ],
            ("b680d577a833c93f", "02b5e4cb8a3ad071"),
        ),
        (["ablation.no_context=true"], ("8fab51cb606c7fbe", "b4f77d64a84daceb")),
    ],
)
def test_recorded_hashes_of_changed_settings_hold(sets: list[str], recorded: tuple[str, str]) -> None:
    assert hashes(resolve(3, "512", sets)) == recorded


@pytest.mark.parametrize("section", SECTIONS)
def test_a_field_added_later_counts_once_it_leaves_its_default(section: str) -> None:
    config = resolve(3, "512", ["data.selection.skip_duplicates=true"])
    values: dict[str, Any] = config.model_dump()
    larger = grown(RunConfig, section)
    assert hashes(larger.model_validate(values)) == hashes(config)
    added = nested({f"{section}.{ADDED}".lstrip("."): 1})
    changed = hashes(larger.model_validate(merged([values, added])))
    assert all(new != old for new, old in zip(changed, hashes(config), strict=True))


def test_a_run_may_continue_with_another_precision_of_its_sums() -> None:
    changed = resolve(2, "512", ["train.gradient_precision=weights"])
    assert config_hash(changed) != config_hash(resolve(2, "512"))
    assert trajectory_hash(changed) == trajectory_hash(resolve(2, "512"))
