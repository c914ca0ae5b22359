"""What the loop decides for each step."""

from types import SimpleNamespace

import pytest

from core.errors import AnimaticError
from tests.support import small_stages
from tests.support.training_jobs import small_config
from training.loop import is_image_step, train


def test_the_share_of_image_steps_is_as_configured_and_fixed():
    config = small_config(0, "train.image_batches=0.25")
    chosen = [is_image_step(config, step) for step in range(1, 2001)]
    assert 0.2 < sum(chosen) / len(chosen) < 0.3
    # Resumed runs go on with the steps of earlier versions.
    assert [step for step in range(1, 17) if is_image_step(config, step)] == [6, 8, 10, 11, 15, 16]
    assert not any(is_image_step(small_config(0, "train.image_batches=0"), step) for step in range(50))


def test_one_process_of_a_machine_verifies_a_finished_run(tmp_path, monkeypatch):
    bundle_id = small_stages.make_bundle(tmp_path / "bundle", stage=0)
    small_stages.tamper(tmp_path / "bundle")
    config, source = small_stages.small_config(0), SimpleNamespace(digest="d" * 64)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(AnimaticError, match="tampered with"):
        train(config, tmp_path, source=source)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert train(config, tmp_path, source=source).bundle_id == bundle_id
