"""Raw video files → clips, at arm's length: a pooled child process with a deadline does the decoding.

A codec can hang or crash on hostile bytes; then the child dies, the file is rejected, and the next file
gets a new child.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from core.errors import RejectedError
from pipelines.video.normalise import ClipSettings

START_SECONDS = 120


class Normaliser:
    """Cuts and encodes files, one after another, in one child process.

    ``deadline_s`` is the time and ``memory`` are the bytes allowed for one file. Use it as a context manager.
    """

    def __init__(self, settings: ClipSettings, deadline_s: float, memory: int) -> None:
        self._settings = settings
        self._memory = memory
        self._deadline_s = deadline_s
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._errors.close()

    def clips(self, path: Path, key: str, out: Path) -> list[dict[str, Any]]:
        """Write KEY-000.mp4, KEY-000.jpg, KEY-000.1.jpg … into ``out`` and describe each clip.

        The description is what goes into the sample's JSON: key, start and duration (seconds), fps, frames,
        width, height, condition_frame, condition_frames, scores, phash. Raises RejectedError if the file is
        to blame, among others for decoder_timeout, decoder_memory and decoder_crash, and OSError if
        ``out`` cannot be written.
        """
        child = self._child if self._child is not None else self._start()
        request = {"path": str(path), "key": key, "out": str(out), "deadline_s": self._deadline_s}
        try:
            reply = self._ask(child, json.dumps(request), self._deadline_s)
        except TimeoutError as error:
            self._stop()
            raise RejectedError("decoder_timeout", f"more than {self._deadline_s:g} seconds") from error
        except EOFError as error:
            code = child.wait()
            self._stop()
            raise RejectedError("decoder_crash", f"exit status {code}") from error
        if "failure" in reply:
            raise OSError(f"clips cannot be written to {out}: {reply['failure']}")
        if reply.get("reason") == "decoder_memory":
            self._stop()  # what is left of its memory is no measure for the next file
        if "reason" in reply:
            raise RejectedError(reply["reason"], reply["detail"])
        clips: list[dict[str, Any]] = reply["clips"]
        return clips

    def _start(self) -> "subprocess.Popen[bytes]":
        root = str(Path(__file__).resolve().parent.parent)
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.video.sandbox_worker", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        try:
            self._ask(self._child, self._settings.model_dump_json(), START_SECONDS)
        except (TimeoutError, EOFError) as error:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"the video decoding process does not start: {' '.join(last)}") from error
        return self._child

    @staticmethod
    def _ask(child: "subprocess.Popen[bytes]", line: str, seconds: float) -> dict[str, Any]:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line.encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        end, reply = time.monotonic() + seconds, b""
        while not reply.endswith(b"\n"):
            if not select.select([child.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError
            reply += data
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
