"""Local and remote source videos → local files, fetched ahead of their turn."""

from pipelines.fetch.access import WebAccess
from pipelines.fetch.download import Fetched
from pipelines.fetch.fetcher import Fetcher
from pipelines.fetch.first_bytes import Probe, probe
from pipelines.fetch.host_limits import HostLimits, Permission
from pipelines.fetch.known import check_location
from pipelines.fetch.policy import FetchPolicy
from pipelines.fetch.prefetch import fetched_ahead
from pipelines.fetch.sites import is_page_of_site, missing_reader
from pipelines.fetch.stores import is_local_file, what_is_missing

__all__ = [
    "FetchPolicy",
    "Fetched",
    "Fetcher",
    "HostLimits",
    "Permission",
    "Probe",
    "WebAccess",
    "check_location",
    "fetched_ahead",
    "is_local_file",
    "is_page_of_site",
    "missing_reader",
    "probe",
    "what_is_missing",
]
