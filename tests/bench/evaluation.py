"""What the metrics of an evaluation cost that need no weights, generating not included, and how memory grows.

Every number of clips is measured in a process of its own, so that its peak of memory is its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate import measure_clips
from pipelines.evaluate.clips import ClipPair, RealClip
from tests.bench.timing import MIB, Result, Row
from tests.support.evaluations import plan_of

CLIPS = (256, 2048)
FRAMES, SIDE = 16, 64
SCENES = 64


def evaluation() -> list[Result]:
    """The default metrics over each number of clips, from stored chunks to the written report."""
    rows = [measured(count) for count in CLIPS]
    title = f"metrics without weights, clips of {FRAMES} frames of {SIDE}x{SIDE}"
    return [Result("evaluation", title, "processor s/clip", rows)]


def measured(count: int) -> Row:
    """Processor seconds for each clip, and the peak of memory of the process."""
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        command = [sys.executable, "-m", "tests.bench.evaluation", str(count), scratch]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Row(f"{count:,} clips", found["seconds"] / count, 1.0, None, found["peak"] / MIB)


class RenderedClips(Sequence[ClipPair]):
    """So many pairs of clips, of which only SCENES are in memory; four clips share a source video."""

    def __init__(self, count: int) -> None:
        scenes = [draw_scene(7, number) for number in range(min(SCENES, count))]
        self._count, self._scenes = count, scenes
        self._pixels = [render(scene, frames=FRAMES, size=SIDE) for scene in scenes]
        self._noise = np.random.default_rng(0).integers(0, 16, (FRAMES, SIDE, SIDE, 3), np.uint8)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> ClipPair: ...
    @overload
    def __getitem__(self, number: slice) -> list[ClipPair]: ...
    def __getitem__(self, number: int | slice) -> ClipPair | list[ClipPair]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        if not 0 <= number < self._count:
            raise IndexError(number)
        real = self._pixels[number % len(self._pixels)]
        caption = self._scenes[number % len(self._scenes)].caption
        clip = RealClip(f"clip-{number:05d}", caption, 8.0, real, f"video-{number // 4}")
        return ClipPair(clip, np.bitwise_xor(real, self._noise ^ np.uint8(number % 31)))


def main(count: int, folder: Path) -> None:
    """Store the clips, measure them, and print processor seconds and the peak of memory in bytes."""
    plan = plan_of(folder, RenderedClips(count))
    start = time.process_time()
    report = measure_clips(plan)
    seconds = time.process_time() - start
    assert len(report["clips"]) == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
