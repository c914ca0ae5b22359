"""The process that touches untrusted video: one JSON request a line in, one JSON reply a line out."""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import av.error
import av.logging

from core.errors import RejectedError
from pipelines.video.normalise import ClipSettings, normalise


def main() -> None:
    """Serve requests until the parent closes its end."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing a codec prints may reach the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limit = _address_space() + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    settings = ClipSettings.model_validate_json(sys.stdin.readline())
    print(json.dumps({"ready": True}), file=replies)
    for line in sys.stdin:
        request = json.loads(line)
        # The kernel ends this process even if the parent died and a codec never returns.
        signal.alarm(int(request["deadline_s"]) + 10)
        print(json.dumps(_answer(request, settings)), file=replies)
        signal.alarm(0)


def _address_space() -> int:
    """Bytes that this process has mapped before it touches a file."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _answer(request: dict[str, Any], settings: ClipSettings) -> dict[str, Any]:
    try:
        return {"clips": normalise(Path(request["path"]), request["key"], settings, Path(request["out"]))}
    except RejectedError as error:
        return {"reason": error.reason, "detail": error.detail}
    except MemoryError:
        return {"reason": "decoder_memory", "detail": "a clip of it takes more than decoder_memory"}
    except av.error.ExternalError as error:  # x264 has no other word for it
        return {"reason": "encoder_failed", "detail": str(error)}
    except (OSError, av.error.FFmpegError) as error:
        return {"failure": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
