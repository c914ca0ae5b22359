"""Which processes of a run are named as those that the others wait for."""

from tests.support.heartbeats import REDUCING, SLEEPING, report
from training.control import Phase
from training.heartbeats import End, Frame, State, call_roll, state_of


def test_a_run_that_progresses_has_no_culprit():
    roll = call_roll([report(0), report(1, Phase.WAITING_FOR_DATA)])
    assert roll.culprits == () and roll.cause is None and not roll.has_hung


def test_the_process_behind_the_others_is_named_with_its_place():
    late = report(1, Phase.WAITING_FOR_DATA, 8, 41, frames=(SLEEPING,))
    roll = call_roll([report(0, Phase.TRAINING, 8, 40, frames=(REDUCING,)), late])
    assert roll.culprits == (1,)
    assert roll.cause == (
        "worker 1 (node, pid 101): waiting for data (step 8) for 42 s in sleep (tests/job.py:7); "
        "the others wait: training (step 8)"
    )


def test_a_process_of_an_earlier_part_of_the_step_is_behind():
    roll = call_roll([report(0, seconds=40, parts=3), report(1, seconds=40, parts=4)])
    assert roll.culprits == (0,)


def test_parts_of_work_that_one_process_does_for_all_do_not_count():
    frames = {"frames": (REDUCING,)}
    working = report(0, Phase.DRAWING_SAMPLES, 8, 400, parts=5, frames=(SLEEPING,))
    assert call_roll([working, report(1, Phase.DRAWING_SAMPLES, 8, 900, **frames)]).culprits == (0,)


def test_work_that_is_no_step_gets_more_time():
    reports = [report(rank, Phase.SAVING_CHECKPOINT, 8, 200) for rank in (0, 1)]
    assert call_roll(reports).cause is None


def test_of_processes_in_the_same_part_that_outside_of_a_collective_is_named():
    reports = [report(rank, seconds=40, size=3, frames=(REDUCING,)) for rank in (0, 2)]
    reports.insert(1, report(1, seconds=40, size=3, frames=(SLEEPING,)))
    assert call_roll(reports).culprits == (1,)


def test_of_processes_in_different_collectives_the_minority_is_named():
    lone = (REDUCING, Frame("tests/job.py", 9, "alone"))
    reports = [report(rank, seconds=40, size=3, frames=(REDUCING,)) for rank in (0, 2)]
    reports.insert(1, report(1, seconds=40, size=3, frames=lone))
    assert call_roll(reports).culprits == (1,)


def test_processes_that_all_wait_in_the_same_collective_are_named_together():
    roll = call_roll([report(rank, seconds=40, frames=(REDUCING,)) for rank in (0, 1)])
    assert roll.culprits == (0, 1)
    assert roll.cause.startswith("all 2 workers: training (step 8) for 41 s in all_reduce (torch/distributed")


def test_a_silent_process_is_named_however_far_it_is():
    roll = call_roll([report(0, seconds=40), report(1, step=9, ago_s=39)])
    assert roll.culprits == (1,)
    assert roll.cause == "no sign of life from worker 1 (node, pid 101) for 39 s, last training (step 9)"


def test_processes_that_have_not_begun_are_missing():
    roll = call_roll([report(1, Phase.STARTING, 0, 40, size=4)])
    assert roll.missing == roll.culprits == (0, 2, 3)
    assert roll.cause == "workers 0, 2, 3: not started, the others wait for 41 s"
    assert not call_roll([report(1, Phase.STARTING, 0, 4, size=4)]).culprits


def test_a_process_that_failed_is_named_while_others_wait_for_it():
    failed = report(1, end=End.FAILED, message="KeyError: 'luck'", ago_s=50)
    roll = call_roll([report(0, seconds=40), failed])
    assert (roll.culprits, roll.cause) == ((1,), "worker 1 (node, pid 101): failed: KeyError: 'luck'")


def test_a_run_that_has_ended_has_no_culprit():
    reports = [report(rank, end=End.FINISHED, ago_s=9000) for rank in (0, 1)]
    assert call_roll(reports).cause is None
    assert state_of(reports[0]) is State.FINISHED


def test_a_run_has_hung_once_every_process_has_taken_longer_than_it_may():
    short, long = {"allowed_s": 30}, {"allowed_s": 600}
    assert not call_roll([report(0, seconds=40, **short), report(1, seconds=40, **long)]).has_hung
    assert call_roll([report(0, seconds=40, **short), report(1, seconds=600, **long)]).has_hung
    silent = report(1, seconds=1, ago_s=40, **short)
    assert call_roll([report(0, seconds=40, **short), silent]).has_hung


def test_slow_steps_get_more_time():
    slow = report(0, seconds=40, size=1)
    object.__setattr__(slow.heartbeat.beat, "longest_step_s", 20.0)
    assert call_roll([slow]).cause is None
