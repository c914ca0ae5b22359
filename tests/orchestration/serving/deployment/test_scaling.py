"""The number of replicas by the length of the queue."""

from types import SimpleNamespace

import pytest

from orchestration.serving.deployment.scaling import ACTIVE, replicas_for, scale_by_queue


@pytest.mark.parametrize(("active", "expected"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_a_replica_for_every_so_many_videos(active: float, expected: int) -> None:
    assert replicas_for(active, 4) == expected


def _context(series: dict[str, list[tuple[float, float]]]) -> SimpleNamespace:
    points = {
        replica: [SimpleNamespace(timestamp=time, value=value) for time, value in each]
        for replica, each in series.items()
    }
    config = SimpleNamespace(get_target_ongoing_requests=lambda: 4)
    return SimpleNamespace(raw_metrics={ACTIVE: points}, target_num_replicas=3, config=config)


def test_the_newest_report_counts_and_not_their_sum() -> None:
    context = _context({"a": [(1.0, 20.0), (3.0, 5.0)], "b": [(2.0, 40.0)]})
    assert scale_by_queue(context) == (2, {})  # type: ignore[arg-type]


def test_the_number_stays_where_nothing_is_reported() -> None:
    assert scale_by_queue(_context({}))[0] == 3  # type: ignore[arg-type]
