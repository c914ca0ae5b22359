"""Raw video files → clips in a separate process, one per sandbox, with a deadline and a memory limit.

A codec can hang or crash on hostile bytes; then the process is killed, the file is rejected, and the next
file gets a new process. The deadline counts the processor time of that process, so that a busy machine does
not decide which videos a dataset has.
"""

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import ValidationError

from core.errors import RejectedError
from pipelines.video.records import ClipRecord
from pipelines.video.sandbox_protocol import (
    REPLY,
    Clips,
    NormaliseRequest,
    Progress,
    Ready,
    Rejection,
    Reply,
    WriteFailure,
)
from pipelines.video.settings import ClipSettings

_START_SECONDS = 120
_STOP_SECONDS = 10
_POLL_SECONDS = 1.0  # between two looks at the processor time
_ROOT = Path(__file__).resolve().parents[2]  # the folder of our packages


class VideoSandbox:
    """Cuts and encodes files, one after another, in one process. Use it as a context manager."""

    def __init__(self, settings: ClipSettings, deadline_s: float, memory: int) -> None:
        """Each file is allowed ``memory`` bytes, and each minute of its video ``deadline_s`` seconds of a
        processor."""
        self._settings = settings
        self._memory = memory
        self._deadline_s = deadline_s
        self._worker: _Worker | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.end()
        self._errors.close()

    def normalise(
        self, path: Path, key: str, out: Path, spans: Sequence[tuple[float, float]] = ()
    ) -> list[ClipRecord]:
        """Write KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … into ``out`` and describe each clip.

        ``spans`` are the parts of the video to cut clips from, (start, end) in seconds; the whole if empty.

        Raises:
            RejectedError: for a fault of the file, including decoder_timeout, decoder_memory and
                decoder_crash.
            OSError: if ``out`` cannot be written or the file is gone.
            RuntimeError: if the process cannot be started.
        """
        worker = self._worker if self._worker is not None else self._start()
        request = NormaliseRequest(
            path=path, key=key, out=out, deadline_s=self._deadline_s, spans=list(spans)
        )
        try:
            reply = worker.ask(request.model_dump_json(), self._deadline_s)
            while isinstance(reply, Progress):
                reply = worker.next_reply(self._deadline_s)
        except TimeoutError as error:
            self._stop(worker)
            raise RejectedError("decoder_timeout", str(error)) from error
        except EOFError as error:
            code = worker.exit_status()
            self._stop(worker)
            raise RejectedError("decoder_crash", f"exit status {code}") from error
        except ValidationError as error:
            self._stop(worker)
            raise RejectedError("decoder_crash", "invalid reply") from error
        match reply:
            case Clips():
                return reply.clips
            case Rejection():
                if reply.reason == "decoder_memory":
                    self._stop(worker)  # memory that it still holds would count against the next file
                raise RejectedError(reply.reason, reply.detail)
            case WriteFailure():
                raise OSError(f"clips cannot be written to {out}: {reply.error}")
        raise RuntimeError(f"the video decoding process answered a request with {reply.kind!r}")

    def _start(self) -> "_Worker":
        worker = _Worker(self._memory, self._errors)
        try:
            reply = worker.ask(self._settings.model_dump_json(), _START_SECONDS)
            if not isinstance(reply, Ready):
                raise EOFError(f"its first answer is {reply.kind!r}")
        except (TimeoutError, EOFError, ValidationError) as error:
            worker.kill()
            raise RuntimeError(f"the video decoding process does not start: {self._cause(error)}") from error
        self._worker = worker
        return worker

    def _cause(self, error: Exception) -> str:
        """The last line that the process wrote to its standard error, else the error itself."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
        if isinstance(error, ValidationError):
            return "its first answer is invalid; something printed to its standard output"
        return str(error) or type(error).__name__

    def _stop(self, worker: "_Worker") -> None:
        worker.kill()
        self._worker = None


class _Worker:
    """The process, and the lines that it writes."""

    def __init__(self, memory: int, errors: IO[bytes]) -> None:
        paths = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.video.sandbox_worker", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        self._received = b""

    def ask(self, line: str, seconds: float) -> Reply:
        """The first reply to one line. Raises as ``next_reply``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        return self.next_reply(seconds)

    def next_reply(self, seconds: float) -> Reply:
        """The next line that the process writes.

        Raises TimeoutError once the process has worked for ``seconds`` or has stalled as long, EOFError
        if it has ended, and pydantic.ValidationError for an invalid reply.
        """
        assert self._process.stdout is not None
        stopwatch = _Stopwatch(self._process.pid)
        while b"\n" not in self._received:
            if select.select([self._process.stdout], [], [], min(_POLL_SECONDS, seconds))[0]:
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    raise EOFError
                self._received += data
            else:
                stopwatch.check(seconds)
        line, _, self._received = self._received.partition(b"\n")
        return REPLY.validate_json(line)

    def exit_status(self) -> int:
        """Exit status of a process that closed its output."""
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def end(self) -> None:
        """Let the process end by closing its input; kill it if it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


class _Stopwatch:
    """Measures how long a process works, and how long it does not."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._begin = self._last = self._processor_seconds()
        self._moved = time.monotonic()

    def check(self, seconds: float) -> None:
        """Raise TimeoutError if the process has worked for this long, or has not worked for this long."""
        now = self._processor_seconds()
        if now > self._last:
            self._last, self._moved = now, time.monotonic()
        if now - self._begin > seconds:
            raise TimeoutError(f"more than {seconds:g} seconds of a processor for a minute of video")
        if time.monotonic() - self._moved > seconds:
            raise TimeoutError(f"the decoder stalled for {seconds:g} seconds")

    def _processor_seconds(self) -> float:
        # After the name in brackets: the state, …, and as fields 14 and 15 of proc(5) the clock ticks spent.
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
