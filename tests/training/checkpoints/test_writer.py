"""Work beside the main thread: its result or its error is taken there."""

import threading

import pytest

from training.checkpoints.writer import Background


def test_work_goes_on_beside_its_caller_and_returns_its_result() -> None:
    background, go = Background[int]("writer"), threading.Event()
    assert background.wait(0) and not background.busy
    background.start(lambda: 5 if go.wait(60) else 0)
    assert background.busy and not background.finished and not background.wait(0)
    go.set()
    assert background.take() == 5
    assert not background.busy and not background.finished


def test_an_error_of_the_work_is_raised_where_its_result_is_taken() -> None:
    background = Background[int]("writer")
    background.start(lambda: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        background.take()
    background.start(lambda: 3)
    assert background.take() == 3


def test_one_piece_of_work_at_a_time() -> None:
    background = Background[int]("writer")
    background.start(lambda: 1)
    with pytest.raises(RuntimeError, match="the work before is not finished"):
        background.start(lambda: 2)
    assert background.take() == 1
