"""The endless samples of one dataset: which one stands where, what is drawn for it, and its pixels."""

import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latents
from pipelines.dataset.selection import EVERYTHING, Selection, data_digest, selected
from pipelines.loader.order import GlobalOrder
from pipelines.loader.reading import Clip, SampleReader, Shown
from pipelines.loader.sampling import ClipSampling, Draw, draw
from pipelines.storage.shard_files import CacheConfig, ShardFiles
from pipelines.video.frames import UndecodableError

log = logging.getLogger(__name__)

SHUFFLE_SHARDS = 64
_COLUMNS = ("key", "caption", "frames", "fps", "height", "width")
_SUBSTITUTES = 16  # consecutive unreadable stand-ins before the dataset is called broken
_AHEAD = 4  # shards are made ready this part of a window before they are needed


@dataclass
class LoadedSample:
    """One decoded sample, with the samples that failed before it: (key, reason)."""

    key: str
    caption: str
    drawn: Draw
    shown: Shown
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class StreamSettings:
    """How the samples of a dataset are chosen, ordered and kept on this node."""

    selection: Selection = EVERYTHING
    shuffle_shards: int = SHUFFLE_SHARDS
    cache: CacheConfig = field(default_factory=CacheConfig)


class Stream:
    """Samples by their position in the endless sequence of one dataset; safe to share between threads."""

    def __init__(
        self,
        dataset: Dataset,
        sampling: ClipSampling,
        seed: int,
        settings: StreamSettings,
        latents: Latents | None = None,
    ) -> None:
        """Raises AnimaticError when no clip is long enough, or the latents do not fit."""
        self._dataset, self._sampling, self._seed = dataset, sampling, seed
        shards = self._dataset.info["shards"]
        self._files = [ShardFiles(self._dataset.folder, shards, settings.cache)]
        if latents is not None:
            self._files.append(ShardFiles(latents.folder, latents.info["shards"], settings.cache))
            latents = latents.reading_with(self._files[1].read)
        self._reader = SampleReader(self._dataset.reading_with(self._files[0].read), sampling, latents)
        self._table = self._dataset.samples.select(_COLUMNS)
        chosen = selected(self._dataset, settings.selection)
        self._rows = self._long_enough(chosen)
        self.left_out = len(self._dataset) - int(chosen.sum())
        self.too_short = len(self._dataset) - self.left_out - len(self._rows)
        self.digest = data_digest(self._dataset, settings.selection)
        # Samples are stored shard after shard.
        self._ends = np.cumsum([shard["samples"] for shard in shards])
        shown = np.diff(np.searchsorted(self._rows, self._ends), prepend=0)
        self._order = GlobalOrder(shown.tolist(), self.digest, seed, settings.shuffle_shards)
        self._window_share = min(1.0, settings.shuffle_shards / len(shards))
        self._asked: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def url(self) -> str:
        """Where the dataset is."""
        return self._dataset.url

    @property
    def cached_bytes(self) -> float:
        """What the cache must hold for no shard to be fetched twice in an epoch."""
        total = sum(files.bytes for files in self._files if files.remote)
        return total * min(1.0, self._window_share * (1 + 2 / _AHEAD))

    def load(self, position: int) -> LoadedSample:
        """The sample at ``position``, or what stands in for it.

        Raises AnimaticError when a shard is damaged or nothing can be decoded.
        """
        epoch, index = self._order.place(position)
        clip = self._clip(index)
        try:
            return self._read(clip, epoch, clip.key)
        except UndecodableError as error:
            return self._substitute(position, epoch, clip.key, str(error))

    def prepare(self, position: int) -> None:
        """Make the shards ready that are first needed some way after ``position``."""
        epoch, index = self._order.place(position + int(len(self) * self._window_share / _AHEAD))
        shard = int(np.searchsorted(self._ends, self._rows[index], "right"))
        if (epoch, shard) in self._asked:
            return
        self._asked = {(e, s) for e, s in self._asked if abs(e - epoch) <= 1} | {(epoch, shard)}
        for files in self._files:
            files.prepare(shard)

    def _substitute(self, position: int, epoch: int, wanted: str, reason: str) -> LoadedSample:
        failed = [(wanted, reason)]
        for index in self._order.substitutes(position, wanted):
            clip = self._clip(index)
            if clip.key == wanted:
                continue
            try:
                # Another salt than the stand-in's own turn in this epoch: it shows other frames.
                sample = self._read(clip, epoch, f"{clip.key}/{wanted}")
            except UndecodableError as error:
                failed.append((clip.key, str(error)))
            else:
                sample.failed = failed
                return sample
            if len(failed) > _SUBSTITUTES:
                break
        raise AnimaticError(
            f"dataset {self.url}: {len(failed)} samples in a row cannot be decoded "
            f"(first {wanted}: {reason}); run `animatic verify` on it"
        )

    def _clip(self, index: int) -> Clip:
        row = int(self._rows[index])
        cell = {name: self._table.column(name)[row].as_py() for name in _COLUMNS}
        return Clip(row=row, **cell)

    def _read(self, clip: Clip, epoch: int, salt: str) -> LoadedSample:
        chosen = draw(self._sampling, self._seed, epoch, salt, clip_frames=clip.frames, clip_fps=clip.fps)
        return LoadedSample(clip.key, clip.caption, chosen, self._reader.read(clip, chosen))

    def _long_enough(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Rows of ``chosen`` with enough frames; AnimaticError when there are none."""
        lengths = np.where(chosen, self._table.column("frames").to_numpy(), -1)
        needed = self._sampling.frames_needed(self._table.column("fps").to_numpy())
        rows = np.flatnonzero(lengths >= needed)
        shortest = needed.min(initial=self._sampling.frames)
        if not len(rows):
            raise AnimaticError(
                f"dataset {self.url}: none of its {chosen.sum()} clips has the {shortest} frames that a "
                f"sample needs (longest: {lengths.max(initial=0)}); ingest longer clips or lower `frames`"
            )
        if len(rows) < chosen.sum():
            missed = chosen.sum() - len(rows)
            text = "%d of %d clips of %s have fewer than the %d frames that a sample needs and are left out"
            log.warning(text, missed, chosen.sum(), self.url, shortest)
        return rows
