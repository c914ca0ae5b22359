"""Bad and odd input of every kind: files, answers of web servers, and rows of the table."""

import contextlib
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.footage import ffmpeg, row, write_coded

SAMPLE = "sample"
DAMAGED = {"corrupt", "truncated", "not_a_video", "no_frames", "broken_timestamps", "no_video_stream"}

# What may become of an input: the videoid, then every acceptable outcome.
Expected = dict[str, set[str]]


def write_files(folder: Path) -> Expected:
    """Fill ``folder`` with files to be found by their videoid."""
    whole = write_coded(folder / "whole.mp4", range(40))
    fast = ffmpeg(folder / "fast.mp4", "-i", str(whole), "-c", "copy", "-movflags", "+faststart")
    expected = {"whole": {SAMPLE}, "fast": {SAMPLE}}
    for kind in (_cut, _garbage, _damaged, _odd, _other_containers, _no_files):
        expected |= dict(kind(folder, fast, whole))
    return expected


def _cut(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    data = fast.read_bytes()
    offsets = {"1": 1, "7": 7, "8": 8, "40": 40, "moov": 700, "last": len(data) - 1}
    offsets |= {f"{part}percent": len(data) * part // 100 for part in (25, 50, 75, 97)}
    for name, offset in offsets.items():
        (folder / f"cut{name}.mp4").write_bytes(data[:offset])
        # Seven bytes are less than the header of a box.
        yield f"cut{name}", {"not_a_video" if offset < 8 else "truncated"}
    (folder / "noindex.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    yield "noindex", {"truncated"}
    (folder / "indexonly.mp4").write_bytes(data[: data.index(b"mdat") - 4])
    yield "indexonly", {"no_frames"}


def _garbage(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    contents = {
        "zeros": bytes(10_000),
        "random": np.random.default_rng(0).bytes(10_000),
        "page": b"<html><body>404 Not Found</body></html>",
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{whole}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{whole}'\n".encode(),
        "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "subtitles": b"1\n00:00:00,000 --> 00:00:09,000\nhello\n",
    }
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_bytes(content)
        yield name, {"not_a_video"}
    (folder / "empty.mp4").touch()
    yield "empty", {"empty_file"}
    Image.new("RGB", (160, 96), "red").save(folder / "picture.jpg")
    (folder / "picture.jpg").rename(folder / "picture.mp4")
    yield "picture", {"not_a_video"}
    tone = ("-f", "lavfi", "-i", "sine=d=1")
    ffmpeg(folder / "sound.mp4", *tone, "-c:a", "aac")
    yield "sound", {"no_video_stream"}
    ffmpeg(folder / "wave.wav", *tone)
    (folder / "wave.wav").rename(folder / "wave.mp4")
    yield "wave", {"not_a_video"}
    cover = ("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04:r=25", "-map", "0", "-map", "1")
    ffmpeg(folder / "cover.mp4", *tone, *cover, "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    yield "cover", {"no_video_stream"}


def _damaged(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    data = fast.read_bytes()
    begin = data.index(b"mdat") + 4
    middle = begin + (len(data) - begin) // 2
    (folder / "zeroed.mp4").write_bytes(data[:middle] + bytes(1500) + data[middle + 1500 :])
    yield "zeroed", {"corrupt"}
    for seed in range(3):
        spoilt = bytearray(data)
        for place in np.random.default_rng(seed).integers(begin, len(data), 60):
            spoilt[place] ^= 255
        (folder / f"flipped{seed}.mp4").write_bytes(spoilt)
        yield f"flipped{seed}", {"corrupt"}
        spoilt = bytearray(data)
        for place in np.random.default_rng(seed).integers(40, begin - 8, 30):
            spoilt[place] ^= 255
        (folder / f"index{seed}.mp4").write_bytes(spoilt)
        yield f"index{seed}", DAMAGED | {"unknown_codec", "too_large", "too_short", SAMPLE}
    (folder / "codec.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    yield "codec", {"unknown_codec"}
    (folder / "tail.mp4").write_bytes(data + bytes(range(256)) * 9)
    yield "tail", {SAMPLE, "truncated"}
    write_coded(folder / "gap.mkv", [*range(20), *range(1000, 1020)])
    (folder / "gap.mkv").rename(folder / "gap.mp4")
    yield "gap", {"broken_timestamps"}
    _write_huge(folder / "huge.mp4")
    yield "huge", {"corrupt"}


def _write_huge(path: Path) -> None:
    """A motion JPEG whose frames claim to be 65500 pixels wide and high, which the codec refuses."""
    avi = ffmpeg(path.with_suffix(".avi"), "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=2", "-c:v", "mjpeg")
    data = bytearray(avi.read_bytes())
    place = -1
    while (place := data.find(b"\xff\xc0\x00\x11\x08", place + 1)) >= 0:
        data[place + 5 : place + 9] = (65500).to_bytes(2, "big") * 2
    avi.unlink()
    path.write_bytes(data)


def _odd(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    source = ("-f", "lavfi", "-i", "testsrc2=s=161x97:r=25:d=2")
    for name, options in {
        "oddsize": ("-pix_fmt", "yuv444p"),
        "tenbit": ("-pix_fmt", "yuv420p10le"),
        "grey": ("-pix_fmt", "gray"),
        "interlaced": ("-vf", "scale=160:96,interlace", "-flags", "+ilme+ildct"),
        "tall": ("-vf", "scale=32:1200"),
        "rapid": ("-r", "1000"),
        "withsound": ("-f", "lavfi", "-i", "sine=d=5"),
    }.items():
        ffmpeg(folder / f"{name}.mp4", *source, *options)
        yield name, {SAMPLE}
    write_coded(folder / "brief.mp4", range(3))
    yield "brief", {"too_short"}
    write_coded(folder / "single.mp4", range(1))
    yield "single", {"too_short"}
    write_coded(folder / "slides.mp4", range(18), rate=1)
    yield "slides", {SAMPLE}
    write_coded(folder / "uneven.mp4", [*range(20), *range(20, 50, 3), *range(50, 70)])
    yield "uneven", {SAMPLE}
    ffmpeg(folder / "turned.mp4", "-display_rotation", "90", "-i", str(whole), "-c", "copy")
    yield "turned", {SAMPLE}
    ffmpeg(folder / "edited.mp4", "-ss", "0.2", "-i", str(whole), "-c", "copy")
    yield "edited", {SAMPLE}


def _other_containers(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    stream = ffmpeg(folder / "stream.ts", "-i", str(whole), "-c", "copy")
    other = ffmpeg(folder / "other.ts", "-i", str(whole), "-vf", "scale=96:64")
    data = stream.read_bytes()
    (folder / "stream.mp4").write_bytes(data)
    yield "stream", {SAMPLE}
    (folder / "halfpacket.mp4").write_bytes(data[: len(data) * 2 // 3 + 50])
    yield "halfpacket", {SAMPLE}
    (folder / "resized.mp4").write_bytes(data + other.read_bytes())
    yield "resized", {SAMPLE, "corrupt", "broken_timestamps"}
    webm = ffmpeg(folder / "a.webm", "-i", str(whole), "-c:v", "libvpx")
    (folder / "webm.mp4").write_bytes(webm.read_bytes())
    yield "webm", {SAMPLE}
    (folder / "cutwebm.mp4").write_bytes(webm.read_bytes()[: webm.stat().st_size // 3])
    yield "cutwebm", {"truncated"}
    gif = ffmpeg(folder / "a.gif", "-i", str(whole))
    (folder / "gif.mp4").write_bytes(gif.read_bytes())
    yield "gif", {SAMPLE}


def _no_files(folder: Path, fast: Path, whole: Path) -> Iterator[tuple[str, set[str]]]:
    (folder / "folder.mp4").mkdir()
    (folder / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    os.mkfifo(folder / "pipe.mp4")
    for name in ("folder", "dangling", "pipe", "nosuch"):
        yield name, {"missing_file"}


class BadServer(BaseHTTPRequestHandler):
    """Serves a whole video badly."""

    video = b""
    expected: Expected = {  # noqa: RUF012
        "ok": {SAMPLE},
        "gone": {"missing_file"},
        "forbidden": {"fetch_refused"},
        "broken": {"fetch_failed"},
        "hangs": {"fetch_timeout"},
        "drips": {"fetch_timeout"},
        "endless": {"too_large"},
        "short": {"fetch_failed"},
        "html": {"not_a_video"},
        "nothing": {"empty_file"},
        "inward": {"fetch_refused"},
    }

    def do_GET(self) -> None:
        name = self.path.strip("/")
        status = {"gone": 404, "forbidden": 403, "broken": 500, "inward": 302}.get(name, 200)
        body = {"nothing": b"", "html": b"<html>sign in</html>"}.get(name, self.video)
        if name == "hangs":
            time.sleep(3)
        self.send_response(status)
        if name == "inward":
            self.send_header("Location", "file:///etc/passwd")
        if name not in ("endless", "drips"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have had enough
            self._send(name, body)

    def _send(self, name: str, body: bytes) -> None:
        self.wfile.write(body[:1000] if name == "short" else body)
        for _ in range(100):
            if name == "drips":
                time.sleep(0.1)
                self.wfile.write(b"x")
            elif name == "endless":
                self.wfile.write(bytes(1 << 20))

    def log_message(self, *arguments: object) -> None:
        pass


def bad_rows() -> tuple[list[dict[str, str]], Expected]:
    """Rows that fail for their own content; the licence column names them."""
    rows = [
        row("up", page_dir="../p", licence="unsafe_path"),
        row("root", page_dir="/etc", licence="unsafe_path"),
        row("../whole", licence="unsafe_path"),
        row("/etc/passwd", licence="unsafe_path"),
        row("back\\slash", licence="unsafe_path"),
        row("climbs", page_dir="p/../../..", licence="unsafe_path"),
        row("relative", page_dir="none", contentUrl="../../x.mp4", licence="unsafe_path"),
        row("camera", contentUrl="rtsp://127.0.0.1/1", licence="unknown_protocol"),
        row("nested", contentUrl="zip://a.mp4::http://127.0.0.1/a.zip", licence="fetch_refused"),
        row("", licence="no_id"),
        row("whole", licence="duplicate_id"),
        row("silent", name="  ", licence="no_caption"),
        row("line\nbreak", licence="missing_file"),
        row("x" * 3000, licence="missing_file"),
    ]
    return rows, {entry["videoid"]: {entry["licence"]} for entry in rows}
