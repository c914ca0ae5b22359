"""The clock of training steps: every second belongs to one phase, and a GPU's are read without waiting."""

import threading
from unittest.mock import patch

import pytest

from training.clock import CudaTimeline, StepClock


class FakeTimeline:
    """A clock that is set by hand; ``reached``: how far a GPU has come."""

    def __init__(self) -> None:
        self.now, self.reached = 0.0, float("inf")

    def mark(self) -> float:
        return self.now

    def seconds(self, start: float, end: float) -> float | None:
        return end - start if end <= self.reached else None


@pytest.fixture
def timeline() -> FakeTimeline:
    return FakeTimeline()


def test_phases_and_the_rest_sum_to_the_whole_time_and_an_inner_phase_counts_for_itself_alone(timeline):
    clock = StepClock(timeline)
    timeline.now += 1
    with clock.phase("data"):
        timeline.now += 2
    with clock.phase("forward"):
        timeline.now += 4
        with clock.phase("encode"):
            timeline.now += 8
        timeline.now += 16
    timeline.now += 32
    times = clock.report()
    assert times.phases == {
        "data": 2, "encode": 8, "forward": 20, "backward": 0, "optimizer": 0, "save": 0, "other": 33,
    }  # fmt: skip
    assert times.total == sum(times.phases.values()) == 63


def test_pauses_count_for_nothing_and_every_report_begins_from_zero(timeline):
    clock = StepClock(timeline)
    with clock.phase("save"):
        timeline.now += 1
    with clock.paused():
        timeline.now += 100
    assert clock.report().total == 1
    timeline.now += 3
    assert clock.report().phases["other"] == 3


def test_a_phase_that_raises_has_ended(timeline):
    clock = StepClock(timeline)
    with pytest.raises(KeyError), clock.phase("backward"):
        timeline.now += 1
        raise KeyError
    timeline.now += 2
    times = clock.report()
    assert (times.phases["backward"], times.phases["other"]) == (1, 2)


def test_what_a_gpu_has_not_reached_is_of_the_next_report(timeline):
    clock = StepClock(timeline)
    with clock.phase("forward"):
        timeline.now = 5
    with clock.phase("optimizer"):
        timeline.now = 9
    timeline.reached = 5
    first = clock.report()
    timeline.reached = 9
    second = clock.report()
    assert (first.phases["forward"], first.total) == (5, 5)
    assert (second.phases["optimizer"], second.total) == (4, 4)


def test_a_clock_that_is_never_read_keeps_few_marks(timeline):
    clock = StepClock(timeline)
    for _ in range(5000):
        with clock.phase("data"):
            timeline.now += 1
    assert len(clock._ahead) < 5000
    assert clock.report().phases["data"] == 5000


def test_the_host_is_timed_by_the_wall_clock():
    ready = threading.Event()
    ready.set()
    with patch("training.clock.time.perf_counter", side_effect=[1.0, 2.0, 4.5, 5.0]):
        clock = StepClock()
        with clock.phase("data"):
            ready.wait()
        assert clock.report().phases["data"] == 2.5


class FakeStream:
    """A GPU that is given work; ``done``: how much of it, in seconds, is behind it."""

    def __init__(self) -> None:
        self.given, self.done, self.waits = 0.0, 0.0, 0

    def event(self, *, enable_timing: bool) -> "FakeEvent":
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    """As torch.cuda.Event."""

    def __init__(self, stream: FakeStream) -> None:
        self.stream, self.at = stream, -1.0

    def record(self) -> None:
        self.at = self.stream.given

    def query(self) -> bool:
        return self.at <= self.stream.done

    def synchronize(self) -> None:
        self.stream.waits += 1

    def elapsed_time(self, end: "FakeEvent") -> float:
        assert self.query() and end.query()
        return (end.at - self.at) * 1000


def test_a_gpu_s_phases_are_the_work_that_it_was_given_in_them_and_reading_them_does_not_wait(monkeypatch):
    stream = FakeStream()
    monkeypatch.setattr("training.clock.torch.cuda.Event", stream.event)
    clock = StepClock(CudaTimeline())
    with clock.phase("forward"):
        stream.given += 0.25
    with clock.phase("backward"):
        stream.given += 0.5
    stream.done = 0.25
    assert clock.report().phases["forward"] == 0.25
    stream.done = 0.75
    assert clock.report().phases["backward"] == 0.5
    assert stream.waits == 0
