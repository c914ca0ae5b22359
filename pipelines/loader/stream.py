"""The endless samples of some clips of one dataset: which one stands where, and what is drawn for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.loader.order import GlobalOrder, derive_key
from pipelines.loader.reading import Clip, Shown
from pipelines.loader.sampling import ClipSampling, Draw, draw
from pipelines.loader.store import AHEAD, ClipStore
from pipelines.video.frames import UndecodableError

_SUBSTITUTES = 16  # consecutive unreadable stand-ins before the dataset is called broken


@dataclass
class LoadedSample:
    """One decoded sample, with the samples that failed before it: (key, reason)."""

    key: str
    caption: str
    drawn: Draw
    shown: Shown
    failed: list[tuple[str, str]] = field(default_factory=list)


class Stream:
    """Samples by their position in the endless sequence of some clips of one dataset.

    Safe to share between threads.
    """

    def __init__(
        self, store: ClipStore, sampling: ClipSampling, rows: npt.NDArray[np.int64], seed: int
    ) -> None:
        """``rows`` of the clips, rising. Raises AnimaticError if latents do not fit the samples."""
        self._store, self._sampling, self._rows, self._seed = store, sampling, rows, seed
        self._reader = store.reader(sampling)
        clips = np.diff(np.searchsorted(rows, store.ends), prepend=0)
        self._order = GlobalOrder(clips.tolist(), store.digest, seed, store.window)
        self._asked: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._rows)

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
        epoch, index = self._order.place(position + int(len(self) * self._store.window_share / AHEAD))
        shard = int(np.searchsorted(self._store.ends, self._rows[index], "right"))
        if (epoch, shard) in self._asked:
            return
        self._asked = {(e, s) for e, s in self._asked if abs(e - epoch) <= 1} | {(epoch, shard)}
        self._store.prepare(shard)

    def _substitute(self, position: int, epoch: int, wanted: str, reason: str) -> LoadedSample:
        failed = [(wanted, reason)]
        for clip in self._stand_ins(position, epoch, wanted):
            if clip.key in (key for key, _ in failed):
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
            f"dataset {self._store.url}: {len(failed)} samples in a row cannot be decoded "
            f"(first {wanted}: {reason}); run `animatic verify` on it"
        )

    def _stand_ins(self, position: int, epoch: int, wanted: str) -> Iterator[Clip]:
        """Clips of the window around ``position``; a small bucket may have none there that can be read."""
        yield from map(self._clip, self._order.substitutes(position, wanted))
        yield from self._store.clips(self._sampling, derive_key("elsewhere", self._seed, epoch, wanted))

    def _clip(self, index: int) -> Clip:
        return self._store.clip(int(self._rows[index]))

    def _read(self, clip: Clip, epoch: int, salt: str) -> LoadedSample:
        chosen = draw(self._sampling, self._seed, epoch, salt, clip_frames=clip.frames, clip_fps=clip.fps)
        return LoadedSample(clip.key, clip.caption, chosen, self._reader.read(clip, chosen))
