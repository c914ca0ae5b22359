"""The service's clips, made by ``animate`` in a loop: ``-m tests.bench.serving_loop EXPORTS CACHE``.

The model is loaded once. Each line of standard input is a plan as in :mod:`tests.bench.serving_load`; it is
answered with the seconds, the processor's seconds, and the digest of each mp4.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from core.files import sha256
from models.animate import animate
from orchestration.export import read_export
from orchestration.media import to_frames, write_gif, write_mp4
from orchestration.pictures import open_picture, to_tensor


def main(exports: str, cache: Path) -> None:
    """Answer plans until the input ends."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    exported = read_export(exports, "champion", to=cache)
    animator = exported.animator()
    size = animator.architecture
    for line in sys.stdin:
        plan = json.loads(line)
        digests, began, spent = [], time.perf_counter(), time.process_time()
        for job, path in zip(plan["jobs"], plan["pictures"], strict=True):
            with tempfile.TemporaryDirectory() as folder:
                chosen = {"seed": int(job["seed"]), "steps": int(job["num_inference_steps"])}
                settings = exported.sampling.model_copy(update=chosen)
                image = to_tensor(open_picture(Path(path)), size.height, size.width)
                (clip,) = animate(animator, image, [job["prompt"]], settings)
                mp4, gif = Path(folder, "clip.mp4"), Path(folder, "clip.gif")
                write_mp4(to_frames(clip), mp4, 8.0)  # what the service writes: no enlarged GIF
                write_gif(to_frames(clip), gif, 8.0)
                digests.append(sha256(mp4))
        seconds, processor = time.perf_counter() - began, time.process_time() - spent
        print(json.dumps({"seconds": seconds, "processor": processor, "digests": digests}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
