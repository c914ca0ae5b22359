"""Models of a replica, exchanged while it serves: fetched, verified, loaded, tried and put into use."""

from orchestration.serving.exchange.exchange import Exchange, service_url
from orchestration.serving.exchange.version import Version

__all__ = ["Exchange", "Version", "service_url"]
