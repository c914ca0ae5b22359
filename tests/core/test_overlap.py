"""One item is finished while the next is made: in order, bounded, and whatever fails."""

import threading

import pytest

from core.overlap import one_behind

PATIENCE_S = 10


def test_an_item_is_finished_while_the_next_is_made():
    making_second, finished_first = threading.Event(), threading.Event()

    def items():
        yield 1
        making_second.set()
        assert finished_first.wait(PATIENCE_S)
        yield 2

    def finish(item):
        assert making_second.wait(PATIENCE_S)
        finished_first.set()
        return 10 * item

    assert list(one_behind(finish, items())) == [10, 20]


def test_results_are_in_order_and_at_most_two_items_exist():
    made, finished = [], []

    def items():
        for number in range(6):
            assert len(made) - len(finished) <= 1
            made.append(number)
            yield number

    def finish(item):
        finished.append(item)
        return item

    assert list(one_behind(finish, items())) == finished == list(range(6))
    assert list(one_behind(finish, [])) == []


def test_an_error_of_an_item_comes_after_the_results_of_those_before():
    def items():
        yield from (1, 2)
        raise KeyError("third")

    results = one_behind(str, items())
    assert [next(results), next(results)] == ["1", "2"]
    with pytest.raises(KeyError, match="third"):
        next(results)


def test_after_an_error_of_finishing_nothing_more_is_begun():
    begun = []

    def finish(item):
        begun.append(item)
        if item == 2:
            raise ValueError("cannot be finished")
        return item

    results = one_behind(finish, iter(range(1, 9)))
    assert next(results) == 1
    with pytest.raises(ValueError, match="cannot be finished"):
        next(results)
    assert begun == [1, 2]


def test_what_is_begun_is_finished_before_an_interruption_goes_on():
    begun, finished = threading.Event(), []

    def items():
        yield 1
        assert begun.wait(PATIENCE_S)
        raise KeyboardInterrupt

    def finish(item):
        begun.set()
        threading.Event().wait(0.05)
        finished.append(item)

    with pytest.raises(KeyboardInterrupt):
        list(one_behind(finish, items()))
    assert finished == [1]
