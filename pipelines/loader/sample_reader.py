"""Reading one sample: pixels of a clip, or its stored latents with the pixels of the still image alone."""

from dataclasses import dataclass

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latent, Latents
from pipelines.loader.sampling import ClipSampling, SampleParams
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image


@dataclass(frozen=True)
class ClipRow:
    """A clip's row of ``samples.parquet``, as far as reading needs it; ``row`` is its number.

    ``frames`` to ``width`` are those of the encoding that is read: of ``rung``, or of the clip itself if it
    is None.
    """

    row: int
    key: str
    caption: str
    frames: int
    fps: float
    height: int
    width: int
    rung: str | None = None


@dataclass(frozen=True)
class SampleData:
    """The arrays of one sample.

    Attributes:
        pixels: uint8 [t h w 3]; with ``latents``, the still image alone, t = 1.
        latents: mean and standard deviation of each frame, [t 2 c h w].
        text: features of the caption, [n c].
    """

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
    """Reads samples of a dataset, or of the latents computed from it. Safe to share between threads."""

    def __init__(self, dataset: Dataset, sampling: ClipSampling, latents: Latents | None) -> None:
        """Raises AnimaticError as :func:`check_latents` does."""
        if latents is not None:
            check_latents(latents, sampling)
        self._dataset, self._sampling, self._latents = dataset, sampling, latents
        self._size = (sampling.height, sampling.width)

    def read(self, clip: ClipRow, params: SampleParams) -> SampleData:
        """The frames that were drawn. Raises UndecodableError."""
        if self._latents is None:
            images = self._sampling.images_only
            pixels = self._image(clip, params.image) if images else self._frames(clip, params.frame_indices)
            return SampleData(pixels[:, :, ::-1] if params.mirrored else pixels)
        text = self._latents.text(clip.row) if self._latents.has_text else None
        if self._sampling.images_only:
            # Of several stored images, only the first has a latent.
            return SampleData(self._image(clip, 0.0), self._latents.still(clip.row), text)
        # The still image is the clip's own frame, decoded: exactly what training on pixels would use.
        still = self._frames(clip, [params.frame_indices[params.condition_index]])
        return SampleData(still, self._latents.clip(clip.row, params.frame_indices), text)

    def _image(self, clip: ClipRow, fraction: float) -> Frames:
        """The stored image at ``fraction`` of their number, [1 h w 3]."""
        number = int(fraction * self._dataset.images(clip.row))
        try:
            jpg = self._dataset.read_image(clip.row, number)
        except AnimaticError:  # errors of stores are of both kinds
            raise
        except OSError as error:
            raise UndecodableError(str(error)) from error
        return read_image(jpg, self._size)[None]

    def _frames(self, clip: ClipRow, indices: list[int]) -> Frames:
        return read_clip(self._mp4(clip), indices, (clip.height, clip.width), self._size)

    def _mp4(self, clip: ClipRow) -> bytes:
        try:
            if clip.rung is not None:
                return self._dataset.read_rung(clip.row, clip.rung)
            return self._dataset.read(clip.row, "mp4")
        except AnimaticError:  # errors of stores are of both kinds
            raise
        except OSError as error:
            raise UndecodableError(str(error)) from error
