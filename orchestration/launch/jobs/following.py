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


@dataclass
class _Outage:
    """How long the server has been silent, and the pause before the next attempt; both in seconds."""

    since: float
    pause_s: float = 0.0
    attempts: int = 0


def follow(server: JobServer, job_id: str, log: LogReader, report: Callable[[str], None]) -> Job:
    """Pass the log of a job on as it grows; the job as it ended.

    A connection that is lost is opened again, and the log continues where it was.

    Args:
        report: gets a line when it stays lost for more than moments.

    Raises:
        LostServerError: the server has not answered for ``PATIENCE_S``; the job may go on.
        UnknownJobError: there is no such job (any more).
    """
    outage: _Outage | None = None
    while True:
        before, cause = log.characters, ""
        try:
            cause = asyncio.run(_tail(server, job_id, log))
            job = server.job(job_id)
            if job.has_ended:
                log.feed(server.log(job_id)[log.characters :])
                log.end()
                return job
            if log.characters > before:
                outage = None
            elif outage is not None:  # the server answers: only the log is cut off
                outage.since = time.monotonic()
        except LostServerError as error:
            cause = cause or str(error)
        outage = _wait(outage, server, cause, report)


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
            outage = _wait(outage, server, str(error), report)


async def _tail(server: JobServer, job_id: str, log: LogReader) -> str:
    """Read the log until the connection ends; returns why it did.

    The server sends the log from its beginning each time: what was read before is skipped.
    Raises AnimaticError where the server refuses the token.
    """
    skip = log.characters
    url = f"{server.url}/api/jobs/{job_id}/logs/tail"
    timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with aiohttp.ClientSession(headers=server.headers, timeout=timeout) as session:
            async with asyncio.timeout(CONNECT_S):
                socket = await session.ws_connect(url, heartbeat=HEARTBEAT_S, max_msg_size=0)
            async with socket:
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        return "the connection broke"
                    log.feed(message.data[skip:])
                    skip = max(0, skip - len(message.data))
    except aiohttp.WSServerHandshakeError as error:
        if error.status in UNAUTHENTICATED:
            raise server.unauthorised(error.status) from error
        return f"HTTP status {error.status}"
    except TimeoutError:
        return f"it did not answer within {CONNECT_S:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return str(error) or type(error).__name__
    return "the log ended before the job"


def _wait(outage: _Outage | None, server: JobServer, cause: str, report: Callable[[str], None]) -> _Outage:
    """Pause before the next attempt. Raises LostServerError after ``PATIENCE_S`` of them."""
    now = time.monotonic()
    if outage is None:
        outage = _Outage(now)
    outage.attempts += 1
    if outage.attempts == _REPORTED_ATTEMPT:
        report(f"the connection to {server.name} is lost ({cause}): trying again; the job goes on")
    if now - outage.since > PATIENCE_S:
        raise LostServerError(
            f"{server.name} has not answered for {now - outage.since:.0f} s ({cause}): the job goes on if "
            "its cluster does"
        )
    outage.pause_s = min(2 * outage.pause_s or _FIRST_PAUSE_S, _MOST_PAUSE_S)
    time.sleep(outage.pause_s)
    return outage
