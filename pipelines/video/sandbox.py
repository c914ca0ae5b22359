"""Raw video files → clips in a separate process, one per sandbox, with a deadline and a memory limit.

A codec can hang or crash on hostile bytes; then the process is killed, the file is rejected, and the next
file gets a new process.
"""

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import ValidationError

from core.errors import RejectedError
from pipelines.video.records import ClipRecord
from pipelines.video.sandbox_protocol import REPLY, Clips, NormaliseRequest, Rejection, Reply, WriteFailure
from pipelines.video.settings import ClipSettings

_START_SECONDS = 120
_ROOT = Path(__file__).resolve().parents[2]  # the folder of our packages


class VideoSandbox:
    """Cuts and encodes files, one after another, in one process. Use it as a context manager."""

    def __init__(self, settings: ClipSettings, deadline_s: float, memory: int) -> None:
        """``deadline_s`` seconds and ``memory`` bytes are allowed for each file."""
        self._settings = settings
        self._memory = memory
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._errors.close()

    def normalise(self, path: Path, key: str, out: Path) -> list[ClipRecord]:
        """Write KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … into ``out`` and describe each clip.

        Raises:
            RejectedError: for a fault of the file, including decoder_timeout, decoder_memory and
                decoder_crash.
            OSError: if ``out`` cannot be written or the file is gone.
        """
        process = self._process if self._process is not None else self._start()
        request = NormaliseRequest(path=path, key=key, out=out, deadline_s=self._deadline_s)
        try:
            reply = _ask(process, request.model_dump_json(), self._deadline_s)
        except TimeoutError as error:
            self._stop()
            raise RejectedError("decoder_timeout", f"more than {self._deadline_s:g} seconds") from error
        except EOFError as error:
            code = process.wait()
            self._stop()
            raise RejectedError("decoder_crash", f"exit status {code}") from error
        except ValidationError as error:
            self._stop()
            raise RejectedError("decoder_crash", "invalid reply") from error
        match reply:
            case Clips():
                return reply.clips
            case Rejection():
                if reply.reason == "decoder_memory":
                    self._stop()  # memory that it still holds would count against the next file
                raise RejectedError(reply.reason, reply.detail)
            case WriteFailure():
                raise OSError(f"clips cannot be written to {out}: {reply.error}")
        raise RuntimeError(f"the video decoding process answered a request with {reply.kind!r}")

    def _start(self) -> "subprocess.Popen[bytes]":
        paths = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.video.sandbox_worker", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        try:
            _ask(self._process, self._settings.model_dump_json(), _START_SECONDS)
        except (TimeoutError, EOFError) as error:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"the video decoding process does not start: {' '.join(last)}") from error
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _ask(process: "subprocess.Popen[bytes]", line: str, seconds: float) -> Reply:
    """The reply to one line.

    Raises TimeoutError, EOFError if the process has ended, and pydantic.ValidationError for an invalid reply.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise EOFError from error
    end, reply = time.monotonic() + seconds, b""
    while not reply.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            raise EOFError
        reply += data
    return REPLY.validate_json(reply)
