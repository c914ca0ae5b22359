"""Pictures animated at the end of the demo: held-out ones, some with several prompts, and the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from pydantic import AliasChoices, BaseModel, Field

from core.canonical_json import digest_of
from core.files import write_text
from orchestration import media, pictures
from orchestration.demo import films, footage, own_pictures, photographs
from orchestration.demo.collection import HELD_OUT_SEED, Collection
from orchestration.demo.own_pictures import OwnPicture
from orchestration.workflows.clip_names import clip_stem

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.diffusion.settings import SamplingSettings

FOLDER, RECORD = "animations", "animations.json"
STEERED = 2  # pictures animated in all four directions
PLAYBACK_FPS = 6.0
# Held-out windows by their page_dir and videoid.
_REAL = (
    (photographs.PAGE, "coffee-zoom-in"),
    (photographs.PAGE, "chelsea-zoom-out"),
    (photographs.PAGE, "rocket-glide"),
    (films.PAGE, "bigbuckbunny-100-x220"),
)


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

    @property
    def files(self) -> tuple[str, ...]:
        """Everything that it consists of."""
        return self.picture, self.mp4, self.gif, self.strip


class OwnAnimation(PictureAnimation):
    """An animation of one of the user's own pictures.

    ``name``: of the picture's file; ``identity``: digest of everything that the animation depends on;
    ``first_frame_psnr``: of the first frame against the picture, in dB.
    """

    name: str
    identity: str
    first_frame_psnr: float

    @property
    def outcome(self) -> str:
        """In words, such as "first frame 24.1 dB PSNR, moves left as the prompt says"."""
        words = f"first frame {self.first_frame_psnr:.1f} dB PSNR"
        if self.expected is None:
            return words
        moves = f"moves {self.found}" if self.found else "does not move"
        return f"{words}, {moves}{' as the prompt says' if self.found == self.expected else ''}"


class Animations(BaseModel):
    """All animations, and the digest of the inputs of those of held-out pictures.

    ``own``: of the user's own pictures, the newest first.
    """

    identity: str
    clips: list[PictureAnimation]
    own: list[OwnAnimation] = []


@dataclass(frozen=True)
class Inputs:
    """Everything that the animations of a demo in the folder ``out`` depend on."""

    out: Path
    bundle: Bundle
    settings: SamplingSettings
    collection: Collection

    def identity(self, own: OwnPicture | None = None) -> str:
        """Digest of what decides the animations of held-out pictures, or that of one of the user's own."""
        of = self.collection.fingerprint() if own is None else [own.digest, own.prompt]
        return digest_of([self.bundle.id, self.settings.model_dump(mode="json"), of])


@dataclass(frozen=True)
class Work:
    """A clip to sample and the path of its files without suffix; ``seed``: of its noise."""

    picture: Path
    prompt: str
    seed: int
    stem: Path
    own: OwnPicture | None = None


@dataclass(frozen=True)
class Left:
    """The clips that are missing.

    ``kept``: the recorded animations of held-out pictures, if they are current; ``kept_own``: those of the
    user's own, by identity.
    """

    work: list[Work]
    kept: list[PictureAnimation] | None
    kept_own: dict[str, OwnAnimation]


def read(out: Path) -> Animations | None:
    """The recorded animations, if all files of held-out pictures still exist; the user's own pictures with
    all their files, in the order of :func:`own_pictures.recorded`."""
    path = out / FOLDER / RECORD
    if not path.exists():
        return None
    made = Animations.model_validate_json(path.read_bytes())
    if not all((out / file).exists() for clip in made.clips for file in clip.files):
        return None
    whole = {
        (clip.picture, clip.prompt): clip
        for clip in made.own
        if all((out / file).exists() for file in clip.files)
    }
    order = [(each.picture, each.prompt) for each in own_pictures.recorded(out)]
    return made.model_copy(update={"own": [whole[key] for key in order if key in whole]})


def left_to_do(inputs: Inputs) -> Left:
    """What :func:`animate` has to make. Copies of held-out pictures are written to ``images/``."""
    recorded = read(inputs.out)
    current = recorded is not None and recorded.identity == inputs.identity()
    kept_own = {clip.identity: clip for clip in recorded.own} if recorded else {}
    own = own_pictures.recorded(inputs.out)
    return Left(
        work=[
            *([] if current else _held_out_work(inputs)),
            *(_own_work(inputs, each) for each in own if inputs.identity(each) not in kept_own),
        ],
        kept=recorded.clips if recorded and current else None,
        kept_own=kept_own,
    )


def animate(
    inputs: Inputs, left: Left, progress: Callable[[int, int], None], warn: Callable[[str], None]
) -> Animations:
    """Write an mp4, GIFs and a strip of each missing clip to ``animations/``, and the record of all."""
    made: list[PictureAnimation] = []
    own = dict(left.kept_own)
    for work, frames in zip(left.work, _sample(inputs, left.work, progress, warn), strict=True):
        clip = _write(inputs.out, work, frames)
        if work.own is None:
            made.append(clip)
        else:
            own[inputs.identity(work.own)] = _own_animation(inputs, work.own, clip, frames)
    identities = [inputs.identity(each) for each in own_pictures.recorded(inputs.out)]
    animations = Animations(
        identity=inputs.identity(),
        clips=made if left.kept is None else left.kept,
        own=[own[identity] for identity in identities if identity in own],
    )
    write_text(inputs.out / FOLDER / RECORD, animations.model_dump_json(indent=1))
    return animations


def _held_out_work(inputs: Inputs) -> Iterator[Work]:
    from models.animate import noise_seeds

    jobs = []
    for chosen in choose_pictures(inputs.collection):
        path = inputs.out / "images" / f"{chosen.name}.png"
        media.write_png(chosen.picture, path)
        jobs += [(path, prompt) for prompt in chosen.prompts]
    seeds = noise_seeds(inputs.settings.seed, len(jobs))
    for number, ((path, prompt), seed) in enumerate(zip(jobs, seeds, strict=True)):
        name = f"{number:02d}-{'-'.join(prompt.replace(',', '').split()[:7])}"
        yield Work(path, prompt, seed, inputs.out / FOLDER / name)


def _own_work(inputs: Inputs, own: OwnPicture) -> Work:
    """Its noise is that of a clip which is sampled alone, whatever else is animated in this call."""
    from models.animate import noise_seeds

    name = Path(f"own-{own.name}")
    stem = clip_stem(inputs.out / FOLDER, name, own.prompt, {"identity": inputs.identity(own)})
    (seed,) = noise_seeds(inputs.settings.seed)
    return Work(inputs.out / own.picture, own.prompt, seed, stem, own)


def _sample(
    inputs: Inputs, work: Sequence[Work], progress: Callable[[int, int], None], warn: Callable[[str], None]
) -> list[np.ndarray]:
    """The frames (t h w 3) of each clip, all sampled in one batch."""
    import torch

    from models.animate import animate as sample_clips
    from models.encoders.captions import TOKENS, unread_words

    for each in work:
        if lost := unread_words(each.prompt):
            unread = own_pictures.shortened(lost)
            warn(f"the prompt has more than the {TOKENS} tokens that are read; cut before {unread}")
    animator = inputs.bundle.animator().to("cuda" if torch.cuda.is_available() else "cpu")
    size = (animator.architecture.height, animator.architecture.width)
    images = torch.cat([pictures.read_picture(each.picture, *size) for each in work])
    prompts, seeds = [each.prompt for each in work], [each.seed for each in work]
    clips = sample_clips(animator, images, prompts, inputs.settings, progress, seeds=seeds)
    return [media.to_frames(clip) for clip in clips]


def _write(out: Path, work: Work, frames: np.ndarray) -> PictureAnimation:
    """Write frames (t h w 3) in every format, and detect their direction of motion."""
    from pipelines.evaluate.metrics import caption_direction, detect_motion

    files = media.write_clip(frames, work.stem, PLAYBACK_FPS)
    mp4, gif = files.mp4, files.large or files.gif
    assert mp4 is not None and gif is not None  # write_clip writes both
    strip = work.stem.with_name(f"{work.stem.name}-strip.png")
    media.write_png(media.film_strip(frames), strip)
    expected = caption_direction(work.prompt)
    return PictureAnimation(
        picture=str(work.picture.relative_to(out)),
        prompt=work.prompt,
        mp4=str(mp4.relative_to(out)),
        gif=str(gif.relative_to(out)),
        strip=str(strip.relative_to(out)),
        expected=expected,
        found=detect_motion(frames).direction if expected else None,
    )


def _own_animation(
    inputs: Inputs, own: OwnPicture, clip: PictureAnimation, frames: np.ndarray
) -> OwnAnimation:
    from pipelines.evaluate.metrics import psnr

    given = pictures.read_picture(inputs.out / own.picture, *frames.shape[1:3])
    (picture,) = media.to_frames(given)
    return OwnAnimation(
        **clip.model_dump(),
        name=own.name,
        identity=inputs.identity(own),
        first_frame_psnr=psnr(frames[0], picture),
    )


def choose_pictures(collection: Collection) -> Iterator[PromptedPicture]:
    """The first frames of the first held-out scenes, and those of held-out windows of photographs and films
    that the collection contains."""
    for index in range(STEERED):
        scene = footage.draw_scene(HELD_OUT_SEED, index)
        subject = scene.caption.rsplit(" ", 1)[0]
        prompts = tuple(f"{subject} {direction}" for direction in footage.DIRECTIONS)
        yield PromptedPicture(f"{scene.colour}-{scene.shape}", footage.render(scene)[0], prompts)
    captions = {window.videoid: window.caption for window in photographs.HELD_OUT}
    captions |= {window.videoid: window.caption for window in films.HELD_OUT}
    for page, videoid in _REAL:
        path = collection.videos / page / f"{videoid}.mp4"
        if path.exists():
            with av.open(str(path)) as container:
                first = next(container.decode(video=0)).to_ndarray(format="rgb24")
            yield PromptedPicture(videoid, first, (captions[videoid],))
