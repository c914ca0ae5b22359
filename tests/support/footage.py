"""Real video files, whole and broken, and the table that lists them."""

import csv
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

BITS, CELL = 8, 16
COLUMNS = ("videoid", "contentUrl", "duration", "page_dir", "name", "licence")


def coded_frame(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """A picture that carries its number as a row of black and white cells."""
    picture = np.full((height, width, 3), 90, np.uint8)
    for bit in range(BITS):
        picture[:CELL, bit * CELL : (bit + 1) * CELL] = 235 if number >> bit & 1 else 16
    picture[40:80, 10 + number % 100 : 40 + number % 100] = (200, 40, 40)
    return picture


def frame_number(pixels: np.ndarray) -> int:
    """The number that a coded frame carries, at any size that keeps its aspect."""
    cell = pixels.shape[1] / 160 * CELL
    middles = [int((bit + 0.5) * cell) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(middles) if pixels[int(cell / 2), x].mean() > 120)


def write_coded(path: Path, times: Sequence[int], rate: int = 25, **options: str) -> Path:
    """An H.264 file with B-frames whose i-th frame is coded i and shown at times[i] / rate seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", **options})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(coded_frame(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ffmpeg(path: Path, *arguments: str) -> Path:
    """Make ``path`` with the ffmpeg program."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    """Every frame, as PyAV decodes it."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """A CSV with WebVid's columns and one more."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(videoid: str, **columns: str) -> dict[str, str]:
    """One row of the table."""
    return {"videoid": videoid, "page_dir": "p", "name": f"a picture of {videoid}", **columns}


def bad_files(folder: Path, whole: Path) -> Iterator[tuple[str, str]]:
    """Write one file of every kind that must be rejected; yields (videoid, reason)."""
    data = ffmpeg(
        folder / "whole.mp4", "-i", str(whole), "-c", "copy", "-movflags", "+faststart"
    ).read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "noindex.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "page.mp4").write_text("<html><body>404 Not Found</body></html>")
    middle = len(data) * 2 // 3
    (folder / "zeroed.mp4").write_bytes(data[:middle] + bytes(1500) + data[middle + 1500 :])
    ffmpeg(folder / "sound.mp4", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")
    write_coded(folder / "brief.mp4", range(3))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{whole}\n#EXT-X-ENDLIST\n"
    (folder / "playlist.mp4").write_text(playlist)
    yield from {
        "missing": "missing_file",
        "empty": "empty_file",
        "cut": "truncated",
        "noindex": "truncated",
        "page": "not_a_video",
        "zeroed": "corrupt",
        "sound": "no_video_stream",
        "brief": "too_short",
        "playlist": "not_a_video",
    }.items()
