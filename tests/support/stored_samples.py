"""Small samples for tests that write datasets without ingesting."""

import functools
import io
import tempfile
from pathlib import Path

from PIL import Image

from pipelines.dataset.samples import Sample
from tests.support.coded_clips import HEIGHT, WIDTH, write_clip

INFO = {"width": WIDTH, "height": HEIGHT, "frames": 9, "fps": 8.0, "duration": 1.125, "condition_frame": 3}


@functools.cache
def media() -> tuple[bytes, bytes]:
    """A picture and a clip."""
    picture = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "grey").save(picture, "jpeg")
    with tempfile.TemporaryDirectory() as folder:
        return picture.getvalue(), write_clip(Path(folder) / "clip.mp4", INFO["frames"], fps=8)


def sample(key: str) -> Sample:
    info = {**INFO, "source_id": key, "scores": {"motion": 1.5, "brightness": 90.0}}
    return Sample(f"{key}-000", *media(), f"caption ü of {key}", info)
