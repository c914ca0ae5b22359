"""Work as jobs of a Ray cluster: submitted with the code, followed, listed and stopped."""

from orchestration.launch.jobs.following import follow, wait_until_ended
from orchestration.launch.jobs.package import Code, collect_code
from orchestration.launch.jobs.records import Job
from orchestration.launch.jobs.request import JobRequest
from orchestration.launch.jobs.server import JobServer, LostServerError, Resources, UnknownJobError
from orchestration.launch.jobs.submission import Environment, Submitted, submit

__all__ = [
    "Code",
    "Environment",
    "Job",
    "JobRequest",
    "JobServer",
    "LostServerError",
    "Resources",
    "Submitted",
    "UnknownJobError",
    "collect_code",
    "follow",
    "submit",
    "wait_until_ended",
]
