"""``observe.profile`` names steps of the run."""

import pytest

from core.errors import AnimaticError
from training.config import config_hash, resolve


@pytest.mark.parametrize(("text", "profile", "last"), [("7", "7", 7), ("7-9", "7-9", 9), ("null", None, 0)])
def test_a_step_or_a_range_of_steps_is_traced(text, profile, last):
    config = resolve(0, "tiny", [f"observe.profile={text}"])
    assert (config.observe.profile, config.observe.last_profiled) == (profile, last)


@pytest.mark.parametrize("text", ["0", "-1", "9-7", "7-", "a", "1.5", "true", "[1]", "7-9-11"])
def test_what_names_no_steps_is_refused(text):
    with pytest.raises(AnimaticError, match=r"observe\.profile.*use one as 10, or a range as 10-12"):
        resolve(0, "tiny", [f"observe.profile={text}"])


def test_steps_after_the_last_one_of_the_run_are_refused():
    with pytest.raises(AnimaticError, match=r"observe\.profile 7-9: the run ends after step 8"):
        resolve(0, "tiny", ["train.steps=8", "observe.profile=7-9"])


def test_what_is_measured_does_not_identify_a_run():
    plain, measured = resolve(0, "tiny"), resolve(0, "tiny", ["observe.profile=7", "observe.peak_tflops=2"])
    assert config_hash(plain) == config_hash(measured)
