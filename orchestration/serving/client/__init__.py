"""The client of the HTTP API: a connection, and videos to ask for, follow, cancel and fetch."""

from orchestration.serving.client.connection import Connection, ServerError, sends_key_openly, server_url
from orchestration.serving.client.key import KEY_VARIABLE, read_key
from orchestration.serving.client.videos import ENDED, VideoClient

__all__ = [
    "ENDED",
    "KEY_VARIABLE",
    "Connection",
    "ServerError",
    "VideoClient",
    "read_key",
    "sends_key_openly",
    "server_url",
]
