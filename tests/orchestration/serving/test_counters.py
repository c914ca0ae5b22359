"""Counters and histograms as increments for the job store."""

import pytest

from orchestration.serving.counters import COUNTERS, ENDED, HISTOGRAMS, WAIT, Sample


def test_a_histogram_counts_values_up_to_each_bound() -> None:
    counted: dict[Sample, float] = {}
    for value in (0.005, 0.3, 0.3, 4000.0):
        for sample, by in WAIT.observe(value, "champion").items():
            counted[sample] = counted.get(sample, 0) + by
    cumulative = dict(WAIT.cumulative(counted, ("champion",)))
    assert (cumulative["0.01"], cumulative["0.25"], cumulative["0.5"], cumulative["1800"]) == (1, 1, 3, 3)
    assert cumulative["+Inf"] == 4
    assert counted[Sample("animatic_serving_wait_seconds_sum", ("champion",))] == pytest.approx(4000.605)


def test_labels_are_those_of_the_definition() -> None:
    assert ENDED.add("champion", "completed", "") == {
        Sample("animatic_serving_videos_ended_total", ("champion", "completed", "")): 1
    }
    with pytest.raises(ValueError, match="videos_ended has labels"):
        ENDED.add("champion")


def test_names_are_unique() -> None:
    names = [definition.exported for definition in (*COUNTERS, *HISTOGRAMS)]
    assert len(set(names)) == len(names)
