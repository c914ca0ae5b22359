"""Held-out pictures animated by the champion: pictures with four prompts each, and frames of the films."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from pydantic import AliasChoices, BaseModel, Field

from core.canonical_json import digest_of
from core.files import write_text
from orchestration import media, pictures
from orchestration.demo import films, footage
from orchestration.demo.collection import HELD_OUT_SEED, Collection

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.diffusion.settings import SamplingSettings

FOLDER, RECORD = "animations", "animations.json"
STEERED = 2  # pictures animated in all four directions
PLAYBACK_FPS = 6.0
_FILM_FRAMES = ("bikes-187-x060", "bigbuckbunny-100-x220")


@dataclass(frozen=True)
class PromptedPicture:
    """A picture (h w 3) and the prompts to animate it with."""

    name: str
    picture: np.ndarray
    prompts: tuple[str, ...]


class PictureAnimation(BaseModel):
    """One animation; paths relative to the demo's folder. Directions are None where the prompt names none."""

    picture: str = Field(validation_alias=AliasChoices("picture", "still"))  # still: in records until 0.1
    prompt: str
    mp4: str
    gif: str
    strip: str
    expected: str | None
    found: str | None


class Animations(BaseModel):
    """All animations, and the digest of their inputs."""

    identity: str
    clips: list[PictureAnimation]


def identity(bundle: Bundle, settings: SamplingSettings, collection: Collection) -> str:
    """Digest of everything that the animations depend on."""
    return digest_of([bundle.id, settings.model_dump(mode="json"), collection.fingerprint()])


def read(out: Path) -> Animations | None:
    """The recorded animations, if all their files still exist."""
    path = out / FOLDER / RECORD
    if not path.exists():
        return None
    made = Animations.model_validate_json(path.read_bytes())
    files = [file for clip in made.clips for file in (clip.picture, clip.mp4, clip.gif, clip.strip)]
    return made if all((out / file).exists() for file in files) else None


def animate(
    out: Path,
    bundle: Bundle,
    settings: SamplingSettings,
    collection: Collection,
    progress: Callable[[int, int], None],
) -> Animations:
    """Write pictures to ``images/``, and for each prompt an mp4, GIFs and a strip to ``animations/``."""
    import torch

    from models.animate import animate as sample_clips

    animator = bundle.animator().to("cuda" if torch.cuda.is_available() else "cpu")
    size = (animator.architecture.height, animator.architecture.width)
    jobs = []
    for chosen in choose_pictures(collection):
        path = out / "images" / f"{chosen.name}.png"
        media.write_png(chosen.picture, path)
        jobs += [(path, prompt) for prompt in chosen.prompts]
    inputs = torch.cat([pictures.read_picture(path, *size) for path, _ in jobs])
    clips = sample_clips(animator, inputs, [prompt for _, prompt in jobs], settings, progress)
    made = [
        _write(out, number, path, prompt, media.to_frames(clip))
        for number, ((path, prompt), clip) in enumerate(zip(jobs, clips, strict=True))
    ]
    animations = Animations(identity=identity(bundle, settings, collection), clips=made)
    write_text(out / FOLDER / RECORD, animations.model_dump_json(indent=1))
    return animations


def _write(out: Path, number: int, picture: Path, prompt: str, frames: np.ndarray) -> PictureAnimation:
    """Write frames (t h w 3) in every format, and detect their direction of motion."""
    from pipelines.evaluate.metrics import caption_direction, detect_motion

    stem = out / FOLDER / f"{number:02d}-{'-'.join(prompt.replace(',', '').split()[:7])}"
    files = media.write_clip(frames, stem, PLAYBACK_FPS)
    mp4, gif = files.mp4, files.large or files.gif
    assert mp4 is not None and gif is not None  # write_clip writes both
    strip = stem.with_name(f"{stem.name}-strip.png")
    media.write_png(media.film_strip(frames), strip)
    expected = caption_direction(prompt)
    return PictureAnimation(
        picture=str(picture.relative_to(out)),
        prompt=prompt,
        mp4=str(mp4.relative_to(out)),
        gif=str(gif.relative_to(out)),
        strip=str(strip.relative_to(out)),
        expected=expected,
        found=detect_motion(frames).direction if expected else None,
    )


def choose_pictures(collection: Collection) -> Iterator[PromptedPicture]:
    """The first frames of the first held-out scenes, and those of held-out windows of films, if any."""
    for index in range(STEERED):
        scene = footage.draw_scene(HELD_OUT_SEED, index)
        subject = scene.caption.rsplit(" ", 1)[0]
        prompts = tuple(f"{subject} {direction}" for direction in footage.DIRECTIONS)
        yield PromptedPicture(f"{scene.colour}-{scene.shape}", footage.render(scene)[0], prompts)
    captions = {window.videoid: window.caption for window in films.HELD_OUT}
    for videoid in _FILM_FRAMES:
        path = collection.videos / films.PAGE / f"{videoid}.mp4"
        if path.exists():
            with av.open(str(path)) as container:
                first = next(container.decode(video=0)).to_ndarray(format="rgb24")
            yield PromptedPicture(videoid, first, (captions[videoid],))
