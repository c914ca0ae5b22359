"""The process that decodes untrusted video; :mod:`pipelines.video.sandbox` starts it and ends it."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import av.error
import av.logging

from core.errors import RejectedError
from pipelines.video.normalise import normalise
from pipelines.video.sandbox_protocol import (
    Clips,
    NormaliseRequest,
    Progress,
    Ready,
    Rejection,
    Reply,
    WriteFailure,
)
from pipelines.video.settings import ClipSettings

_GRACE_SECONDS = 10  # of this process, after the deadline, which the parent enforces first


def main() -> None:
    """Serve requests until the parent closes its end. The argument is the memory limit of one file, bytes."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a codec prints must not reach the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit = _address_space() + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    settings = ClipSettings.model_validate_json(sys.stdin.readline())
    print(Ready().model_dump_json(), file=replies)
    for line in sys.stdin:
        request = NormaliseRequest.model_validate_json(line)
        allowed = request.deadline_s + _GRACE_SECONDS
        # The kernel ends this process even if the parent died and a codec never returns.
        signal.setitimer(signal.ITIMER_PROF, allowed)

        def progress(allowed: float = allowed) -> None:
            signal.setitimer(signal.ITIMER_PROF, allowed)
            print(Progress().model_dump_json(), file=replies)

        print(_reply(request, settings, progress).model_dump_json(), file=replies)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _address_space() -> int:
    """Bytes that this process has mapped before it reads a file."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _reply(request: NormaliseRequest, settings: ClipSettings, progress: Callable[[], None]) -> Reply:
    try:
        clips = normalise(request.path, request.key, settings, request.out, progress, request.spans)
        return Clips(clips=clips)
    except RejectedError as error:
        return Rejection(reason=error.reason, detail=error.detail)
    except MemoryError:
        return Rejection(reason="decoder_memory", detail="a clip of it takes more than decoder_memory")
    except av.error.ExternalError as error:  # x264 has no more specific error
        return Rejection(reason="encoder_failed", detail=str(error))
    except (OSError, av.error.FFmpegError) as error:
        return WriteFailure(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
