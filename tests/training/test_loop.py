"""What the loop decides for each step."""

import pytest

from core.errors import AnimaticError
from tests.support import small_stages
from tests.support.thread_group import ThreadGroup, run_as_threads
from tests.support.training_jobs import small_config
from training.image_steps import is_image_step
from training.publish import finished_bundle, finished_result
from training.result import TrainResult
from training.run_folder import RunFolder


def test_the_share_of_image_steps_is_as_configured_and_fixed():
    config = small_config(0, "train.image_batches=0.25")
    chosen = [is_image_step(config, step) for step in range(1, 2001)]
    assert 0.2 < sum(chosen) / len(chosen) < 0.3
    # Resumed runs go on with the steps of earlier versions.
    assert [step for step in range(1, 17) if is_image_step(config, step)] == [6, 8, 10, 11, 15, 16]
    assert not any(is_image_step(small_config(0, "train.image_batches=0"), step) for step in range(50))


def test_the_first_process_alone_looks_for_a_finished_run_and_verifies_it(tmp_path, monkeypatch):
    """A file system can list what one machine has written later on another."""
    bundle_id = small_stages.make_bundle(tmp_path / "bundle", stage=0)
    config, folder = small_stages.small_config(0), RunFolder(tmp_path)
    looks: list[bool] = []

    def look(group: ThreadGroup) -> TrainResult | None:
        return finished_result(config, folder, "d" * 64, group)

    def counted(*arguments: object, **options: object) -> object:
        looks.append(True)
        return finished_bundle(*arguments, **options)

    monkeypatch.setattr("training.publish.finished_bundle", counted)
    first, second = run_as_threads(2, look)
    assert first == second and first is not None and first.bundle_id == bundle_id
    assert looks == [True]
    small_stages.tamper(tmp_path / "bundle")
    with pytest.raises(AnimaticError, match="tampered with"):
        run_as_threads(2, look)
