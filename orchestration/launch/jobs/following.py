"""Following a job: its log as it grows, over lost connections, until it has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from orchestration.job_log import LogReader
from orchestration.launch.jobs.address import UNAUTHENTICATED
from orchestration.launch.jobs.records import Job
from orchestration.launch.jobs.server import JobServer, LostServerError

HEARTBEAT_S = 20.0
CONNECT_S = 30.0
PATIENCE_S = 300.0
_FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 20.0
_REPORTED_ATTEMPT = 3  # a proxy that closes idle connections is no news


class _LostConnectionError(Exception):
    """The log ended before its job."""


@dataclass
class _Outage:
    """How long the server has been silent, and the pause before the next attempt; both in seconds."""

    since: float
    pause_s: float = 0.0
    attempts: int = 0


def follow(server: JobServer, job_id: str, log: LogReader, report: Callable[[str], None]) -> Job:
    """Pass the log of a job on as it grows; the job as it ended.

    A connection that is lost is made again, and the log continues where it was.

    Args:
        report: gets a line when the connection is lost, and when it is back.

    Raises:
        LostServerError: the server has not answered for ``PATIENCE_S``; the job may go on.
        UnknownJobError: there is no such job (any more).
    """
    outage: _Outage | None = None
    while True:
        try:
            before = log.characters
            asyncio.run(_tail(server, job_id, log))
            job = server.job(job_id)
            if job.has_ended:
                log.feed(server.log(job_id)[log.characters :])
                log.end()
                return job
            raise _LostConnectionError("the log ended before the job")
        except (LostServerError, _LostConnectionError) as error:
            if log.characters > before:
                outage = None
            outage = _wait(outage, server, error, report)


def wait_until_ended(
    server: JobServer, job_id: str, report: Callable[[str], None], every_s: float = 1.0
) -> Job:
    """The job, once it has ended. Raises as :func:`follow`."""
    outage: _Outage | None = None
    while True:
        try:
            job = server.job(job_id)
            if job.has_ended:
                return job
            outage = None
            time.sleep(every_s)
        except LostServerError as error:
            outage = _wait(outage, server, error, report)


async def _tail(server: JobServer, job_id: str, log: LogReader) -> None:
    """Read the log until the server closes the connection.

    The server sends it from its beginning each time: what was read before is skipped.
    """
    skip = log.characters
    url = f"{server.url}/api/jobs/{job_id}/logs/tail"
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
    try:
        async with (
            aiohttp.ClientSession(headers=server.headers, timeout=timeout) as session,
            session.ws_connect(url, heartbeat=HEARTBEAT_S, max_msg_size=0) as socket,
        ):
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise _LostConnectionError("the connection broke")
                log.feed(message.data[skip:])
                skip = max(0, skip - len(message.data))
    except aiohttp.WSServerHandshakeError as error:
        if error.status in UNAUTHENTICATED:
            raise server.unauthorised(error.status) from error
        if error.status != 404:  # of a job that does not exist; the caller asks for it
            raise _LostConnectionError(f"HTTP status {error.status}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _LostConnectionError(str(error) or type(error).__name__) from error


def _wait(
    outage: _Outage | None, server: JobServer, error: Exception, report: Callable[[str], None]
) -> _Outage:
    """Pause before the next attempt. Raises LostServerError after ``PATIENCE_S`` of them."""
    now = time.monotonic()
    if outage is None:
        outage = _Outage(now)
    outage.attempts += 1
    if outage.attempts == _REPORTED_ATTEMPT:
        report(f"the connection to {server.name} is lost ({error}): trying again; the job goes on")
    if now - outage.since > PATIENCE_S:
        raise LostServerError(
            f"{server.name} has not answered for {now - outage.since:.0f} s ({error}): the job goes on if "
            "its cluster does"
        ) from error
    outage.pause_s = min(2 * outage.pause_s or _FIRST_PAUSE_S, _MOST_PAUSE_S)
    time.sleep(outage.pause_s)
    return outage
