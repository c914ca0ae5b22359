"""A training batch as one picture: the frames and conditions that the network receives of each sample."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from models.batch import Batch

MARGIN, LINE, FRAME = 12, 18, 4  # pixels; FRAME around the conditioning frame
TALL, WIDE = 128, 2400  # pixels of a strip at most
CONDITION, INK, FAINT = (220, 40, 40), (20, 20, 20), (120, 120, 120)
COLUMNS = 110  # letters in a line of caption


class SampleSize(NamedTuple):
    """Frames and pixels of each sample of a batch."""

    frames: int
    height: int
    width: int


def sample_size(batch: Batch) -> SampleSize:
    """The size that the network is trained on; of latents, that of the encoded frames."""
    height, width = batch.pixels.shape[-2:]
    return SampleSize((batch.pixels if batch.latents is None else batch.latents).shape[1], height, width)


def draw_batch(batch: Batch, notes: Sequence[str] | None = None) -> Image.Image:
    """The samples' size, then each sample as a strip of frames with caption, key, fps and dropped conditions.

    The condition frame is outlined in red. Of samples that come as latents, only that frame is drawn: the
    batch has no other pixels.

    Args:
        notes: a text about each sample.
    """
    strips = [_strip(batch, number) for number in range(len(batch))]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)
    texts = [_texts(batch, number, notes[number] if notes else None) for number in range(len(batch))]
    title = "{} samples of {} frames of {}x{} pixels".format(len(batch), *sample_size(batch))
    written = [title, *(line for lines in texts for line in lines)]
    widest = max(*(int(font.getlength(line)) for line in written), *(strip.width for strip in strips))
    heights = [s.height + LINE * len(t) + MARGIN for s, t in zip(strips, texts, strict=True)]
    sheet = Image.new("RGB", (widest + 2 * MARGIN, LINE + sum(heights) + 2 * MARGIN), "white")
    pen, top = ImageDraw.Draw(sheet), LINE + 2 * MARGIN
    pen.text((MARGIN, MARGIN), title, INK, font)
    for strip, lines, height in zip(strips, texts, heights, strict=True):
        for number, line in enumerate(lines):
            last = number == len(lines) - 1
            pen.text((MARGIN, top + LINE * number), line, FAINT if last else INK, font)
        sheet.paste(strip, (MARGIN, top + LINE * len(lines)))
        top += height
    return sheet


def _strip(batch: Batch, number: int) -> Image.Image:
    frames = batch.pixels[number].permute(0, 2, 3, 1).numpy()  # (t h w 3)
    count, height, width = frames.shape[:3]
    scale = min(1.0, TALL / height, WIDE / (count * width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    strip = Image.new("RGB", (count * (size[0] + 2 * FRAME), size[1] + 2 * FRAME), "white")
    marked = 0 if batch.latents is not None else int(batch.condition_index[number])
    for index, frame in enumerate(frames):
        left = index * (size[0] + 2 * FRAME)
        if index == marked:
            strip.paste(CONDITION, (left, 0, left + size[0] + 2 * FRAME, strip.height))
        picture = Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BICUBIC)
        strip.paste(picture, (left + FRAME, FRAME))
    return strip


def _texts(batch: Batch, number: int, note: str | None) -> list[str]:
    dropped = [
        name
        for name, drop in (("text", batch.drop_text[number]), ("image", batch.drop_image[number]))
        if bool(drop)
    ]
    about = [
        batch.keys[number],
        f"fps {float(batch.fps[number]):g}",
        f"condition: frame {int(batch.condition_index[number])}",
        f"dropped: {' and '.join(dropped) or 'nothing'}",
    ]
    if batch.motion is not None:
        motion = float(batch.motion[number])
        about.insert(2, "motion: unspecified" if math.isnan(motion) else f"motion {motion:.3g}")
    if batch.latents is not None:
        about.append("frames come as latents")
    if note is not None:
        about.append(note)
    return [*(textwrap.wrap(batch.captions[number], COLUMNS) or ["(no caption)"]), "   ".join(about)]
