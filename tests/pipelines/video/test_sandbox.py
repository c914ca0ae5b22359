"""The decoding process may hang, die or lose its disk; only the file at hand is affected."""

import itertools
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.errors import RejectedError
from pipelines.video import ClipSettings
from pipelines.video.normalise import normalise
from pipelines.video.sandbox import VideoSandbox
from pipelines.video.sandbox_protocol import REPLY, Clips, Rejection
from tests.support.footage import ffmpeg, write_coded

SMALL = ClipSettings(short_side=96)
MEMORY = 1 << 30


def decoding_processes() -> list[int]:
    """Children of this process that decode video."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in _content(path).split()]
    return [
        pid for pid in pids if b"pipelines.video.sandbox_worker" in _content(Path(f"/proc/{pid}/cmdline"))
    ]


def _content(path: Path) -> bytes:
    """Of a file in /proc; empty if its thread or process has ended since it was listed."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_hanging_decoder_is_killed_and_the_next_file_gets_a_new_one(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with VideoSandbox(SMALL, deadline_s=5, memory=MEMORY) as sandbox:
        sandbox.normalise(source, "a", tmp_path)
        [first] = decoding_processes()
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(RejectedError, match="decoder_timeout: the decoder stalled for 5 seconds"):
            sandbox.normalise(source, "b", tmp_path)
        assert first not in decoding_processes()
        assert sandbox.normalise(source, "c", tmp_path)[0]["frames"] == 20
        [second] = decoding_processes()
        assert sandbox.normalise(source, "d", tmp_path)[0]["frames"] == 20
        assert decoding_processes() == [second]
    assert not decoding_processes()


def test_a_dying_decoder_rejects_its_file_alone(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox:
        sandbox.normalise(source, "a", tmp_path)
        [child] = decoding_processes()
        os.kill(child, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, (child, signal.SIGKILL)).start()
        with pytest.raises(RejectedError, match="decoder_crash"):
            sandbox.normalise(source, "b", tmp_path)
        assert sandbox.normalise(source, "c", tmp_path)[0]["frames"] == 20


def test_an_invalid_reply_rejects_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox:
        sandbox.normalise(source, "a", tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.video.sandbox.REPLY", TypeAdapter(int))
            with pytest.raises(RejectedError, match="decoder_crash: invalid reply"):
                sandbox.normalise(source, "b", tmp_path)
        assert not decoding_processes()
        assert sandbox.normalise(source, "c", tmp_path)[0]["frames"] == 20


def test_time_that_others_use_the_processor_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ffmpeg(
        tmp_path / "s.mp4", "-f", "lavfi", "-i", "color=red:s=1280x720:r=25:d=24", "-preset", "ultrafast"
    )
    seconds = itertools.count(step=600)
    monkeypatch.setattr("pipelines.video.sandbox._POLL_SECONDS", 0.25)
    with VideoSandbox(SMALL, deadline_s=1700, memory=MEMORY) as sandbox:
        sandbox.normalise(write_coded(tmp_path / "first.mp4", range(20)), "a", tmp_path)
        # A clock on which ten minutes pass with each look at it: the process seems to run a little each time.
        monkeypatch.setattr("pipelines.video.sandbox.time.monotonic", lambda: float(next(seconds)))
        assert sandbox.normalise(source, "b", tmp_path)[0]["frames"] == 600
        assert next(seconds) >= 1800


def test_more_processor_time_than_allowed_is_a_timeout(tmp_path: Path) -> None:
    source = ffmpeg(
        tmp_path / "s.mp4", "-f", "lavfi", "-i", "color=red:s=1280x720:r=25:d=24", "-preset", "ultrafast"
    )
    with (
        VideoSandbox(SMALL, deadline_s=0.1, memory=MEMORY) as sandbox,
        pytest.raises(
            RejectedError, match=r"decoder_timeout: more than 0\.1 seconds of a processor for a minute"
        ),
    ):
        sandbox.normalise(source, "a", tmp_path)


def test_each_minute_of_video_is_reported_as_progress(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(200), rate=1)
    reports: list[None] = []
    normalise(source, "a", SMALL, tmp_path, lambda: reports.append(None))
    assert len(reports) == 3
    with VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox:
        assert sandbox.normalise(source, "b", tmp_path)[0]["frames"] == 200
        assert sandbox.normalise(source, "c", tmp_path)[0]["frames"] == 200


def test_a_process_that_prints_before_it_is_ready_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.video.sandbox.REPLY", TypeAdapter(int))
    with (
        VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox,
        pytest.raises(RuntimeError, match="does not start: its first answer is invalid"),
    ):
        sandbox.normalise(tmp_path / "s.mp4", "a", tmp_path)
    assert not decoding_processes()


def test_an_idle_process_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr("pipelines.video.sandbox.subprocess.Popen", Recorded)
    source = write_coded(tmp_path / "s.mp4", range(20))
    with VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox:
        sandbox.normalise(source, "a", tmp_path)
    assert [process.returncode for process in started] == [0]


def test_a_fault_of_this_machine_is_not_the_file_s(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with VideoSandbox(SMALL, deadline_s=60, memory=MEMORY) as sandbox:
        with pytest.raises(OSError, match="cannot be written"):
            sandbox.normalise(source, "a", tmp_path / "gone")
        with pytest.raises(OSError, match="cannot be written"):
            sandbox.normalise(tmp_path / "vanished.mp4", "b", tmp_path)


def test_a_file_that_takes_too_much_memory_is_rejected_alone(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    wide = ffmpeg(
        tmp_path / "wide.mp4", "-f", "lavfi", "-i", "color=red:s=7680x4320:r=3:d=1", "-preset", "ultrafast"
    )
    with VideoSandbox(SMALL, deadline_s=60, memory=64 << 20) as sandbox:
        with pytest.raises(RejectedError, match="decoder_memory"):
            sandbox.normalise(wide, "a", tmp_path)
        assert sandbox.normalise(source, "b", tmp_path)[0]["frames"] == 20
    with VideoSandbox(SMALL, deadline_s=60, memory=1 << 30) as sandbox:
        assert sandbox.normalise(wide, "a", tmp_path)[0]["frames"] == 3


def test_replies_keep_numbers_exactly() -> None:
    scores = {"motion": 0.0, "brightness": 120.1234, "text": 0.1, "aspect": 1.6667}
    times = {"start": 0.0, "duration": 2.333333, "fps": 23.976023976023978}
    size = {"frames": 20, "width": 160, "height": 96, "condition_frame": 3, "condition_frames": [3, 1]}
    mark = {"box": [0.0, 0.0, 0.3, 0.1], "action": "keep", "tag": "watermark"}
    record = {"key": "k-000", **times, **size, "scores": scores, "phash": "0f", "watermark": mark}
    reply = REPLY.validate_json(Clips(clips=[record]).model_dump_json())
    assert repr(reply.clips) == repr([record])
    assert REPLY.validate_json(Rejection(reason="corrupt", detail="ä\n").model_dump_json()).detail == "ä\n"
