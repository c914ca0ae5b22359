"""Ingest against video2dataset on one list of videos over loopback http, each as a whole process.

``python -m tests.bench.peer_ingest --python ENV/bin/python --crf 26``: ``ENV`` has video2dataset 1.3.0, and
the ffmpeg program is on the path. The plain loop runs two ffmpeg programs at once on local files. Both tools
store clips at a short side of 256; give ``--crf`` the value at which the sizes agree.
"""

import argparse
import contextlib
import csv
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from tests.bench.footage import write_clips
from tests.bench.ingest import plain_loop

PEER = """
subsampling:
  ResolutionSubsampler:
    args: {height: 256, resize_mode: scale}
reading:
  yt_args: {download_size: 360, download_audio_rate: 44100, yt_metadata_args: null}
  timeout: 60
  sampler: null
storage: {number_sample_per_shard: 15, oom_shard_count: 5, captions_are_subtitles: false}
distribution: {processes_count: 2, thread_count: 8, subjob_size: 1000, distributor: multiprocessing}
"""
# It asks subsamplers for an attribute that this one lacks; its worker processes import the program again.
CALL = """
import sys
from video2dataset import video2dataset
from video2dataset.subsamplers import ResolutionSubsampler
ResolutionSubsampler.encode_formats = {"video": "mp4"}
if __name__ == "__main__":
    video2dataset(
        url_list=sys.argv[1], input_format="csv", output_format="webdataset", output_folder=sys.argv[2],
        url_col="contentUrl", caption_col="name", encode_formats={"video": "mp4"}, config=sys.argv[3],
    )
"""
INGEST = "from orchestration.cli import main; main()"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: thousands of lines would be in the way."""


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def _seconds(work: Callable[[], None]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _run(command: list[str], folder: Path) -> None:
    with (folder / "log.txt").open("ab") as log:
        subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=True)


def _clip_bytes(folder: Path) -> int:
    """Bytes of the mp4 members of all tars."""
    total = 0
    for path in folder.rglob("*.tar"):
        with tarfile.open(path) as tar:
            total += sum(member.size for member in tar if member.name.endswith(".mp4"))
    return total


def main() -> None:
    """Run each in turn for some rounds; prints medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of the environment with video2dataset")
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crf", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        folder = Path(scratch)
        videos = folder / "videos"
        videos.mkdir()
        paths = write_clips(videos, options.clips)
        with _served(videos) as url:
            table = folder / "table.csv"
            with table.open("w", newline="") as file:
                rows = [(path.stem, f"{url}/{path.name}", "a clip") for path in paths]
                csv.writer(file).writerows([("videoid", "contentUrl", "name"), *rows])
            _compare(folder, table, paths, options)


def _compare(folder: Path, table: Path, paths: list[Path], options: argparse.Namespace) -> None:
    (folder / "peer.yaml").write_text(PEER)
    (folder / "peer.py").write_text(CALL)
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    settings = ["fetch.allow_private=true", f"crf={options.crf}", f"unit_rows={-(-len(paths) // 4)}"]
    for number in range(options.rounds):
        peer, own = folder / f"peer-{number}", folder / f"own-{number}"
        call = [options.python, "peer.py", str(table), str(peer), str(folder / "peer.yaml")]
        sets = [part for setting in settings for part in ("--set", setting)]
        ingest = [sys.executable, "-c", INGEST, "ingest", str(table), "--out", str(own), "--workers", "2"]
        works: dict[str, Callable[[], None]] = {
            "video2dataset": partial(_run, call, folder),
            "animatic ingest": partial(_run, [*ingest, "--no-track", *sets], folder),
            "two ffmpeg programs": partial(plain_loop, folder, paths, 2, ["-threads", "1"], options.crf),
        }
        for name, work in works.items():
            seconds.setdefault(name, []).append(_seconds(work))
        sizes |= {"video2dataset": _clip_bytes(peer), "animatic ingest": _clip_bytes(own)}
    for name, taken in seconds.items():
        if not sizes.get(name, 1):
            raise SystemExit(f"{name} stored no clips: see its output")
        size = f", {sizes[name] / 1e6:.1f} MB" if name in sizes else ""
        print(f"{name}: {median(taken):.1f} s ({', '.join(f'{each:.1f}' for each in taken)}){size}")


if __name__ == "__main__":
    main()
