"""The endless samples of some clips of one dataset, by position."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from core.errors import AnimaticError
from pipelines.loader.clip_store import PREPARE_AHEAD, ClipStore
from pipelines.loader.keyed_random import derive_key
from pipelines.loader.row_set import RowSet
from pipelines.loader.sample_reader import ClipRow, SampleData
from pipelines.loader.sampling import ClipSampling, SampleParams, draw_params
from pipelines.loader.shuffle import GlobalOrder
from pipelines.video.frames import UndecodableError

_MAX_SUBSTITUTES = 16  # as many unreadable ones in a row mean that the dataset is broken


@dataclass(frozen=True)
class Failure:
    """A sample that could not be read."""

    key: str
    reason: str


@dataclass(frozen=True)
class LoadedSample:
    """One decoded sample, with the samples that failed before it, if any.

    ``motion`` is its subject motion, NaN where it is unspecified; None where samples have none.
    """

    key: str
    caption: str
    params: SampleParams
    data: SampleData
    motion: float | None = None
    failures: list[Failure] = field(default_factory=list)


class SampleStream:
    """Samples by position in the endless shuffled sequence of some clips of one dataset.

    Safe to share between threads.
    """

    def __init__(self, store: ClipStore, sampling: ClipSampling, rows: RowSet, seed: int) -> None:
        """``rows`` of the clips. Raises AnimaticError if latents do not fit the samples."""
        self._store, self._sampling, self._rows, self._seed = store, sampling, rows, seed
        self._reader = store.reader(sampling)
        shard_sizes = np.diff(rows.before(store.shard_ends), prepend=0)
        self._order = GlobalOrder(shard_sizes.tolist(), store.digest, seed, store.window)
        self._requested: set[tuple[int, int]] = set()  # (epoch, shard)

    def __len__(self) -> int:
        return len(self._rows)

    def load(self, position: int) -> LoadedSample:
        """The sample at ``position``, or its substitute if it cannot be decoded.

        Raises AnimaticError if a shard is damaged or no substitute can be decoded either.
        """
        epoch, index = self._order.at(position)
        clip = self._clip(index)
        try:
            return self._read(clip, epoch, clip.key)
        except UndecodableError as error:
            return self._substitute(position, epoch, Failure(clip.key, str(error)))

    def prepare(self, position: int) -> None:
        """Prepare the shard that is first needed a part of a window after ``position``."""
        ahead = int(len(self) * self._store.window_share / PREPARE_AHEAD)
        epoch, index = self._order.at(position + ahead)
        shard = int(np.searchsorted(self._store.shard_ends, self._rows[index], "right"))
        if (epoch, shard) in self._requested:
            return
        recent = {(e, s) for e, s in self._requested if abs(e - epoch) <= 1}
        self._requested = recent | {(epoch, shard)}
        self._store.prepare(shard)

    def _substitute(self, position: int, epoch: int, failed: Failure) -> LoadedSample:
        failures = [failed]
        for clip in self._substitutes(position, epoch, failed.key):
            if clip.key in (failure.key for failure in failures):
                continue
            try:
                # Not the key of the clip's own sample in this epoch: it is sampled with other parameters.
                return self._read(clip, epoch, f"{clip.key}/{failed.key}", failures)
            except UndecodableError as error:
                failures.append(Failure(clip.key, str(error)))
            if len(failures) > _MAX_SUBSTITUTES:
                break
        raise AnimaticError(
            f"dataset {self._store.url}: {len(failures)} samples in a row cannot be decoded "
            f"(first {failed.key}: {failed.reason}); run `animatic verify` on it"
        )

    def _substitutes(self, position: int, epoch: int, key: str) -> Iterator[ClipRow]:
        """Clips of the window around ``position``, then of any bucket: a small bucket may have none."""
        yield from map(self._clip, self._order.substitutes(position, key))
        yield from self._store.clips(self._sampling, derive_key("elsewhere", self._seed, epoch, key))

    def _clip(self, index: int) -> ClipRow:
        return self._store.clip(self._rows[index], self._sampling)

    def _read(
        self, clip: ClipRow, epoch: int, key: str, failures: list[Failure] | None = None
    ) -> LoadedSample:
        params = draw_params(
            self._sampling, self._seed, epoch, key, clip_frames=clip.frames, clip_fps=clip.fps
        )
        data = self._reader.read(clip, params)
        caption = self._store.captions.draw(clip.row, self._seed, epoch, key)
        return LoadedSample(
            clip.key, caption, params, data, self._motion(clip, params, epoch, key), failures or []
        )

    def _motion(self, clip: ClipRow, params: SampleParams, epoch: int, key: str) -> float | None:
        if not self._sampling.motion_condition:
            return None
        share = self._sampling.drop_motion
        return self._store.motion.draw(clip.row, params, clip.fps, share, self._seed, epoch, key)
