"""``python -m tests.bench.ladder``: several sizes from one decode, reading them, and the search for bars."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from pipelines.video import ClipSettings, Rung
from pipelines.video.frames import read_clip
from pipelines.video.normalise import normalise
from tests.bench.footage import write_clips

_ROUNDS = 2
_BASE, _RUNGS = 512, [Rung(short_side=256), Rung(short_side=128, fps=8)]
_FRAMES, _STRIDE, _SIZE = 16, 4, (256, 256)


class _Case(NamedTuple):
    name: str
    settings: ClipSettings


def main() -> None:
    """Print two Markdown tables, of processor seconds for each clip and milliseconds for each sample."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ladder", description=__doc__)
    parser.add_argument("--clips", type=int, default=4)
    options = parser.parse_args()
    cases = [
        _Case(f"{_BASE}", ClipSettings(short_side=_BASE)),
        *(_Case(f"{r.name} alone", ClipSettings(short_side=r.short_side, fps=r.fps)) for r in _RUNGS),
        _Case(f"{_BASE} with both as rungs", ClipSettings(short_side=_BASE, ladder=_RUNGS)),
        _Case(f"{_BASE}, `bars=crop`", ClipSettings(short_side=_BASE, bars="crop")),
    ]
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        paths = write_clips(Path(scratch), 2 * options.clips)[1::2]  # those of 1280x720
        print("| sizes | processor seconds |\n| --- | --- |")
        for case in cases:
            print(f"| {case.name} | {_seconds(paths, case.settings, Path(scratch)):.2f} |")
        print("\n| 16 frames at 256x256 | milliseconds |\n| --- | --- |")
        [clip] = normalise(paths[0], "k", ClipSettings(short_side=_BASE, ladder=_RUNGS), Path(scratch))
        encodings = {"k-000.mp4": clip, "k-000.256.mp4": clip["rungs"][0]}
        for name, size in encodings.items():
            data = (Path(scratch) / name).read_bytes()
            print(f"| {name} | {_reading(data, (size['height'], size['width'])):.0f} |")


def _seconds(paths: list[Path], settings: ClipSettings, out: Path) -> float:
    """Processor seconds for each clip, the least of some rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        before = time.process_time()
        for path in paths:
            normalise(path, "k", settings, out)
        rounds.append(time.process_time() - before)
    return min(rounds) / len(paths)


def _reading(data: bytes, source: tuple[int, int]) -> float:
    """Processor milliseconds for a sample, the least of some rounds."""
    rounds = []
    for start in range(4 * _ROUNDS):
        before = time.process_time()
        read_clip(data, list(range(start, start + _FRAMES * _STRIDE, _STRIDE)), source, _SIZE)
        rounds.append(time.process_time() - before)
    return 1000 * min(rounds)


if __name__ == "__main__":
    main()
