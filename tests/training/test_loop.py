"""What the loop decides for each step."""

from tests.support.training_jobs import small_config
from training.loop import is_image_step


def test_the_share_of_image_steps_is_as_configured_and_fixed():
    config = small_config(0, "train.image_batches=0.25")
    chosen = [is_image_step(config, step) for step in range(1, 2001)]
    assert 0.2 < sum(chosen) / len(chosen) < 0.3
    # Resumed runs go on with the steps of earlier versions.
    assert [step for step in range(1, 17) if is_image_step(config, step)] == [6, 8, 10, 11, 15, 16]
    assert not any(is_image_step(small_config(0, "train.image_batches=0"), step) for step in range(50))
