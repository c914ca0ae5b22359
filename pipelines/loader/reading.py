"""What training sees of one clip: pixels, or stored latents and the pixels of the still image alone."""

from dataclasses import dataclass

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latent, Latents
from pipelines.dataset.shard_writer import Member
from pipelines.loader.sampling import ClipSampling, Draw
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image


@dataclass(frozen=True)
class Clip:
    """The row of ``samples.parquet`` that a sample is read from."""

    row: int
    key: str
    caption: str
    frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class Shown:
    """One sample: ``pixels`` [t h w 3]; with ``latents`` [t 2 c h w], pixels of the still image alone."""

    pixels: Frames
    latents: Latent | None = None
    text: Latent | None = None


def check_latents(latents: Latents, sampling: ClipSampling) -> None:
    """Raise AnimaticError if latents do not have the samples' size, or lack the clips that are needed."""
    if sampling.flip:
        raise AnimaticError(
            "latents cannot be mirrored: leave out data.latents, or set data.sampling.flip=false"
        )
    latents.require(height=sampling.height, width=sampling.width)
    if not sampling.images_only:
        latents.require(clips=True)


class SampleReader:
    """Reads samples of a dataset, or of the latents made from it."""

    def __init__(self, dataset: Dataset, sampling: ClipSampling, latents: Latents | None) -> None:
        """Raises AnimaticError as :func:`check_latents`."""
        if latents is not None:
            check_latents(latents, sampling)
        self._dataset, self._sampling, self._latents = dataset, sampling, latents
        self._size = (sampling.height, sampling.width)

    def read(self, clip: Clip, drawn: Draw) -> Shown:
        """The frames that were drawn. Raises UndecodableError."""
        if self._latents is None:
            images = self._sampling.images_only
            pixels = self._image(clip, drawn.image) if images else self._frames(clip, drawn.frame_indices)
            return Shown(pixels[:, :, ::-1] if drawn.mirrored else pixels)
        text = self._latents.text(clip.row) if self._latents.has_text else None
        if self._sampling.images_only:
            # Of several stored images, the first alone has a latent.
            return Shown(self._image(clip, 0.0), self._latents.still(clip.row), text)
        # The still is decoded from the clip, one frame of it: it is exactly what training on pixels shows.
        still = self._frames(clip, [drawn.frame_indices[drawn.condition_index]])
        return Shown(still, self._latents.clip(clip.row, drawn.frame_indices), text)

    def _image(self, clip: Clip, place: float) -> Frames:
        number = int(place * self._dataset.images(clip.row))
        try:
            jpg = self._dataset.read_image(clip.row, number)
        except OSError as error:
            raise UndecodableError(str(error)) from error
        return read_image(jpg, self._size)[None]

    def _frames(self, clip: Clip, indices: list[int]) -> Frames:
        return read_clip(self._stored(clip, "mp4"), indices, (clip.height, clip.width), self._size)

    def _stored(self, clip: Clip, member: Member) -> bytes:
        try:
            return self._dataset.read(clip.row, member)
        except OSError as error:
            raise UndecodableError(str(error)) from error
