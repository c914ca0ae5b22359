"""The work that a job is asked to do: a call of the command, and what identifies it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.urls import has_credentials, without_credentials

_DIGITS = 12
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"']*")


@dataclass(frozen=True)
class JobRequest:
    """A call of the command on a cluster.

    Attributes:
        verb: of the command.
        subject: what it works on, in a few words.
        options: as ``--name=value``, with every local path absolute.
        processes: options on where and how it runs, which do not decide its result.
        arguments: without a name.
        runs: the workspace, an absolute path.
        config_hash: of the run that it trains; empty for other verbs.
    """

    verb: str
    subject: str
    options: tuple[str, ...]
    runs: str
    processes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    config_hash: str = ""

    @property
    def work(self) -> str:
        """Identifies the work, and is the id of the first job that does it."""
        parts = [self.verb, *self.options, "--", *self.arguments, self.runs]
        return f"animatic-{self.verb}-{digest_of(parts)[:_DIGITS]}"

    @property
    def entrypoint(self) -> str:
        """The shell command of the job; ``exec`` has signals reach it rather than a shell."""
        words = [
            self.verb,
            *self.options,
            *self.processes,
            *(("--", *self.arguments) if self.arguments else ()),
        ]
        return f"exec python -m orchestration.job {shlex.join(words)}"

    def check_secrets(self) -> None:
        """Raise AnimaticError for a credential in a URL, which the dashboard would display."""
        for word in (*self.options, *self.arguments):
            if any(has_credentials(url) for url in _URL.findall(word)):
                raise AnimaticError(
                    f"{without_credentials(word)} contains a password, token or signature, which the "
                    "dashboard of the cluster would display: leave it out, and set it in the environment of "
                    "the cluster's nodes"
                )


def attempt_id(work: str, attempt: int) -> str:
    """The id of the n-th job that does this work, from 1 on."""
    return work if attempt == 1 else f"{work}-{attempt}"


def attempt_of(work: str, job_id: str) -> int | None:
    """Which attempt at this work a job is; None if it does other work."""
    if job_id == work:
        return 1
    number = job_id.removeprefix(f"{work}-")
    return int(number) if number != job_id and number.isascii() and number.isdigit() else None
