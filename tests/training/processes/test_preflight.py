"""Processes that differ refuse to train together."""

from dataclasses import replace

import pytest

from core.errors import AnimaticError
from tests.support.small_stages import small_config
from tests.support.thread_group import ThreadGroup, run_as_threads
from training.processes.errors import ReportedError
from training.processes.preflight import Setup, check_equal_setups

SETUP = Setup(code="0.1.0", python="3.11.7", torch="2.15", deepspeed="0.19", settings="a", dataset="d")


def test_equal_setups_pass():
    run_as_threads(2, lambda group: check_equal_setups(SETUP, group))


@pytest.mark.parametrize("name", ["code", "python", "torch", "deepspeed", "settings", "dataset"])
def test_a_difference_is_one_line_with_its_process_and_both_values(name):
    raised: dict[int, Exception] = {}

    def check(group: ThreadGroup) -> None:
        setup = replace(SETUP, **{name: "other"}) if group.rank == 1 else SETUP
        try:
            check_equal_setups(setup, group)
        except AnimaticError as error:
            raised[group.rank] = error

    run_as_threads(3, check)
    message, own = str(raised[0]), getattr(SETUP, name)
    assert message.startswith(f"the processes of this run differ in {name}: {own} in process 0 on ")
    assert ", other in process 1 on " in message and "; " in message
    # The first process reports it, and the others know that it does.
    assert [type(raised[rank]) for rank in range(3)] == [AnimaticError, ReportedError, ReportedError]


def test_settings_of_validation_count_since_all_processes_draw_samples():
    config = small_config(0)
    other = config.model_copy(update={"validation": config.validation.model_copy(update={"every": 7})})
    assert Setup.of(config, "d").settings != Setup.of(other, "d").settings
    moved = config.model_copy(update={"launch": config.launch.model_copy(update={"wait_s": 1.0})})
    assert Setup.of(config, "d") == Setup.of(moved, "d")
