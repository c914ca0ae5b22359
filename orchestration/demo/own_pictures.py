"""The user's own pictures: checked before the demo starts, copied into its folder, animated at its end.

The copy is what the network sees: upright, in sRGB, on white, cut to its central square. It carries no
metadata of the original, which is only read. Deleting a copy removes the picture from the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pydantic import BaseModel, TypeAdapter

from core.errors import AnimaticError
from core.files import sha256, write_text
from orchestration.media import write_png

FOLDER, RECORD = "images", "own.json"
EXAMPLE = "a red ball moves left"
SIDE = 512  # pixels of a copy, at most: the page displays it, the network sees fewer


@dataclass(frozen=True)
class GivenPicture:
    """A picture from the command line: its central square (s s 3), uint8, and the sentence for it.

    ``name``: of the file; ``digest``: of its content.
    """

    name: str
    digest: str
    prompt: str
    pixels: np.ndarray


class OwnPicture(BaseModel):
    """A picture that was given to this demo; ``picture``: its copy, relative to the demo's folder."""

    name: str
    digest: str
    prompt: str
    picture: str


OWN_LIMIT = (
    "The network has a few million parameters and has seen rendered shapes and little real footage: expect "
    "less of any other picture."
)
_SHOWN_LETTERS = 200  # of a prompt, where it is displayed

_RECORDED = TypeAdapter(list[OwnPicture])


def open_given(image: Path | None, prompt: str | None) -> GivenPicture | None:
    """The picture and sentence of the command line; None where neither was given.

    Raises:
        AnimaticError: one of them is missing, or the picture cannot be used
            (:func:`orchestration.pictures.open_picture`).
    """
    if image is None:
        if prompt is not None:
            raise AnimaticError("--prompt is without effect without --image: name the picture to animate")
        return None
    if prompt is None:
        raise AnimaticError(
            f'what should happen in {image}? Give --prompt, such as "{EXAMPLE}" or "the camera zooms in on a '
            "cat\": the demo's network understands short sentences about what moves, or how the camera does"
        )
    from orchestration.pictures import open_picture

    opened = open_picture(image)
    side = min(SIDE, *opened.size)
    square = ImageOps.fit(opened, (side, side), Image.Resampling.LANCZOS)
    return GivenPicture(image.name, sha256(image), prompt, np.asarray(square))


def store(out: Path, given: GivenPicture) -> OwnPicture:
    """Copy a picture into the demo's folder and record it as the newest one."""
    picture = f"{FOLDER}/own-{given.digest[:12]}.png"
    write_png(given.pixels, out / picture)
    newest = OwnPicture(name=given.name, digest=given.digest, prompt=given.prompt, picture=picture)
    others = [each for each in recorded(out) if (each.digest, each.prompt) != (given.digest, given.prompt)]
    write_text(out / FOLDER / RECORD, _RECORDED.dump_json([newest, *others], indent=1).decode())
    return newest


def recorded(out: Path) -> list[OwnPicture]:
    """The pictures that were given to this demo, the newest first; without those whose copy was deleted."""
    path = out / FOLDER / RECORD
    if not path.exists():
        return []
    return [each for each in _RECORDED.validate_json(path.read_bytes()) if (out / each.picture).exists()]


def shortened(prompt: str) -> str:
    """A prompt for display: one line in quotation marks, its end left out if it is long."""
    line = " ".join(prompt.split())
    return f"“{line if len(line) <= _SHOWN_LETTERS else line[: _SHOWN_LETTERS - 1] + '…'}”"
