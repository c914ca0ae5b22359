"""The decoding process may hang, die or lose its disk; only the file at hand pays for it."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from core.errors import RejectedError
from pipelines.video.normalise import ClipSettings
from pipelines.video.sandbox import Normaliser
from tests.support.footage import ffmpeg, write_coded

SMALL = ClipSettings(short_side=96)
MEMORY = 1 << 30


def decoding_processes() -> list[int]:
    """Children of this process that decode video."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return [
        pid for pid in pids if b"pipelines.video.sandbox_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_a_hanging_decoder_is_ended_and_the_next_file_gets_a_new_one(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with Normaliser(SMALL, deadline_s=5, memory=MEMORY) as normaliser:
        normaliser.clips(source, "a", tmp_path)
        [first] = decoding_processes()
        os.kill(first, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(RejectedError, match="decoder_timeout"):
            normaliser.clips(source, "b", tmp_path)
        assert time.monotonic() - started < 15
        assert first not in decoding_processes()
        assert normaliser.clips(source, "c", tmp_path)[0]["frames"] == 20
        [second] = decoding_processes()
        assert normaliser.clips(source, "d", tmp_path)[0]["frames"] == 20
        assert decoding_processes() == [second]
    assert not decoding_processes()


def test_a_dying_decoder_rejects_its_file_alone(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with Normaliser(SMALL, deadline_s=60, memory=MEMORY) as normaliser:
        normaliser.clips(source, "a", tmp_path)
        [child] = decoding_processes()
        os.kill(child, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, (child, signal.SIGKILL)).start()
        with pytest.raises(RejectedError, match="decoder_crash"):
            normaliser.clips(source, "b", tmp_path)
        assert normaliser.clips(source, "c", tmp_path)[0]["frames"] == 20


def test_our_own_disk_is_never_the_file_s_fault(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    with Normaliser(SMALL, deadline_s=60, memory=MEMORY) as normaliser:
        with pytest.raises(OSError, match="cannot be written"):
            normaliser.clips(source, "a", tmp_path / "gone")
        with pytest.raises(OSError, match="cannot be written"):
            normaliser.clips(tmp_path / "vanished.mp4", "b", tmp_path)


def test_a_file_that_takes_too_much_memory_is_rejected_alone(tmp_path: Path) -> None:
    source = write_coded(tmp_path / "s.mp4", range(20))
    wide = ffmpeg(
        tmp_path / "wide.mp4", "-f", "lavfi", "-i", "color=red:s=7680x4320:r=3:d=1", "-preset", "ultrafast"
    )
    with Normaliser(SMALL, deadline_s=60, memory=64 << 20) as normaliser:
        with pytest.raises(RejectedError, match="decoder_memory"):
            normaliser.clips(wide, "a", tmp_path)
        assert normaliser.clips(source, "b", tmp_path)[0]["frames"] == 20
    with Normaliser(SMALL, deadline_s=60, memory=1 << 30) as normaliser:
        assert normaliser.clips(wide, "a", tmp_path)[0]["frames"] == 3
