"""A dataset as training uses it: which clips and captions, with which latents, how often among others."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from models.bundle import DatasetSummary, TrainedOn
from models.encoders.digests import codec_digest, text_digest
from pipelines.card import summary_of
from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, Column
from pipelines.dataset.latents import Latents
from pipelines.dataset.motion import MOTION_COURSE
from pipelines.loader.caption_draw import CaptionChoice
from pipelines.loader.captions import FROM_TABLE, Captions
from pipelines.loader.chosen_clips import (
    columns_beside,
    digest_before,
    passing_clips,
    selection_columns,
)
from pipelines.loader.mixture import Weight
from pipelines.loader.motion_draw import SampleMotion
from pipelines.loader.row_set import RowSet
from pipelines.loader.sample_reader import check_latents
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.selection import EVERYTHING, IDENTITY, Selection
from pipelines.loader.training_data import clips_digest, selected_digest

if TYPE_CHECKING:
    from models.encoders.clip import ClipEncoders
    from models.encoders.codec import Codec


@dataclass(frozen=True)
class WeightedDataset:
    """One of the datasets that a run trains on.

    Attributes:
        dataset: the ingested dataset.
        weights: relative to those of the other datasets; the first one holds from step 0.
        latents: what to read in place of pixels.
        selection: which of its clips to train on.
        captions: which of a clip's captions to train with.
        motion_condition: whether samples have their subject motion.
    """

    dataset: Dataset
    weights: Sequence[Weight] = (Weight(0, 1.0),)
    latents: Latents | None = None
    selection: Selection = EVERYTHING
    captions: Captions = FROM_TABLE
    motion_condition: bool = False

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        latents: str | Path | None = None,
        weights: Sequence[Weight] = (Weight(0, 1.0),),
        selection: Selection = EVERYTHING,
        captions: Captions = FROM_TABLE,
        motion_condition: bool = False,
    ) -> "WeightedDataset":
        """Open a dataset and its latents, each a folder or a URL.

        Raises AnimaticError if one is missing, damaged or unfinished, or the latents are of another dataset.
        """
        dataset = Dataset.open(url)
        opened = Latents.open(latents, dataset) if latents is not None else None
        return cls(dataset, weights, opened, selection, captions, motion_condition)

    @property
    def digest(self) -> str:
        """Identifies the clips that are trained on: dataset, selection, the scores that it uses, captions.

        Raises AnimaticError if the dataset lacks scores of the selection, or a column of captions or motion.
        """
        return selected_digest(self.record())

    @property
    def clips_digest(self) -> str:
        """:attr:`digest` without the captions: the order of samples does not depend on them."""
        return clips_digest(self.record())

    def record(self) -> TrainedOn:
        """What identifies the clips that are trained on, and how often they are.

        Raises AnimaticError if the dataset lacks scores of the selection, or a column of captions or motion.
        """
        selection, dataset = self.selection, self.dataset
        by_similarity = selection.min_clip_similarity is not None
        record = TrainedOn(
            digest=dataset.digest,
            latents=self.latents.digest if self.latents else None,
            weights=[(change.step, change.weight) for change in self.weights],
            selection={} if selection == EVERYTHING else IDENTITY.values(selection),
            scores=self._columns[CLIP_SIMILARITY].digest if by_similarity else None,
        )
        if beside := columns_beside(selection):
            record["columns"] = {name: self._columns[name].digest for name in beside}
        captions = self.caption_choice.record()
        if captions is not None:
            record["captions"] = captions
        if self.motion_condition:
            record["motion"] = self.motion.digest
        return record

    def summary(self) -> DatasetSummary:
        """What the card of a model that is trained on it says of the dataset."""
        return summary_of(self.dataset)

    @functools.cached_property
    def _columns(self) -> dict[str, Column]:
        return selection_columns(self.dataset, self.selection)

    @functools.cached_property
    def caption_choice(self) -> CaptionChoice:
        """Draws a clip's caption each time it is used. Raises AnimaticError if a column is missing."""
        return CaptionChoice(self.dataset, self.captions)

    @functools.cached_property
    def motion(self) -> SampleMotion:
        """The subject motion of samples. Raises AnimaticError if the dataset lacks its column."""
        return SampleMotion(self.dataset)

    def records_before(self) -> list[tuple[TrainedOn, str]]:
        """What :meth:`record` was before each takedown of the dataset, and the date of it, oldest first."""
        now, found = self.record(), list[tuple[TrainedOn, str]]()
        folder = self.dataset.folder
        for takedown in self.dataset.info.get("history", []):
            digest = takedown["digest"]
            if digest is None or digest == now["digest"]:
                continue
            scores = digest_before(folder, CLIP_SIMILARITY, digest) if now["scores"] is not None else None
            before: TrainedOn = {**now, "digest": digest, "scores": scores}
            if "columns" in now:
                before["columns"] = {name: digest_before(folder, name, digest) for name in now["columns"]}
            captions = self.caption_choice.record_before(digest)
            if captions is not None:
                before["captions"] = captions
            if "motion" in now:
                before["motion"] = digest_before(folder, MOTION_COURSE, digest)
            found.append((before, takedown["date"]))
        return found

    def selected(self) -> RowSet:
        """The samples that are trained on.

        Raises AnimaticError if the dataset lacks a column that decides it, or if no clip is left.
        """
        dataset, chosen = self.dataset, passing_clips(self.dataset, self.selection, self._columns)
        if not chosen:
            raise AnimaticError(
                f"dataset {dataset.folder}: not one of its {len(dataset)} clips passes data.selection "
                f"({', '.join(f'{name}={value}' for name, value in self.selection)})"
            )
        return chosen

    def check_sampling(self, sampling: ClipSampling) -> None:
        """Raise AnimaticError if samples cannot be taken from the stored latents in this way."""
        if self.latents is None:
            return
        check_latents(self.latents, sampling)
        if self.latents.has_text and self.caption_choice.differs_from_table:
            raise AnimaticError(
                f"the latents at {self.latents.folder} store the text features of each clip's first caption "
                "in its table, but data.captions draws among several or reads others: encode without --text, "
                "or set data.captions.draw=first and data.captions.sources=[table]"
            )

    def check_encoders(self, codec: "Codec", encoders: "ClipEncoders") -> None:
        """Raise AnimaticError if these networks compute other latents or text features than are stored."""
        if self.latents is None:
            return
        self.latents.require(codec=codec_digest(codec))
        if self.latents.has_text:
            self.latents.require(text=text_digest(encoders))
