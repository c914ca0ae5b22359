"""The service on Ray Serve: replicas of the API and of the engine, their number, and their start and end."""

from orchestration.serving.deployment.application import build
from orchestration.serving.deployment.following import Follower
from orchestration.serving.deployment.lifecycle import Watch, follow, free_port, running
from orchestration.serving.deployment.stores import Stores, open_stores, with_own_paths

__all__ = [
    "Follower",
    "Stores",
    "Watch",
    "build",
    "follow",
    "free_port",
    "open_stores",
    "running",
    "with_own_paths",
]
