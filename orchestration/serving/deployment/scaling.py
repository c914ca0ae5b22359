"""The number of engine replicas, from the number of videos that wait or run.

Ray Serve's own policy counts requests in flight, of which the engine has none: its jobs are in the store.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

# The figure that each replica reports: queued and running videos of the whole service.
ACTIVE = "active_videos"


def replicas_for(active: float, per_replica: float) -> int:
    """Replicas for so many videos, of which each has up to ``per_replica``."""
    return math.ceil(active / per_replica)


def scale_by_queue(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """A policy of Ray Serve, which applies limits and delays to its answer.

    The target for requests in flight is used as the one for videos. Where no replica has reported yet, the
    number stays as it is.
    """
    reported = (context.raw_metrics or {}).get(ACTIVE, {})
    points = [point for series in reported.values() for point in series]
    if not points:
        return context.target_num_replicas, {}
    newest = max(points, key=lambda point: point.timestamp)
    return replicas_for(newest.value, context.config.get_target_ongoing_requests()), {}
