"""Section ``data``: the datasets, their mix, and how samples are cut from clips."""

from fractions import Fraction
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from core.config.section import Section
from pipelines.loader import (
    EVERYTHING,
    FROM_TABLE,
    SHUFFLE_SHARDS,
    Bucket,
    CacheConfig,
    Captions,
    ClipSampling,
    Selection,
)

WeightChanges = list[tuple[int, float]]


def _check_weight(weight: float | WeightChanges) -> float | WeightChanges:
    steps = [step for step, _ in weight] if isinstance(weight, list) else [0]
    if steps[:1] != [0] or steps != sorted(set(steps)):
        raise ValueError(f"weights change at increasing steps that start at 0, not at {steps}")
    return weight


DatasetWeight = Annotated[float | WeightChanges, AfterValidator(_check_weight)]


class OtherDataset(Section):
    """A dataset that is mixed with ``data.dataset``."""

    dataset: str = Field(description="folder or URL of an ingested dataset")
    latents: str | None = Field(None, description="folder or URL of its latents")
    weight: DatasetWeight = Field(1.0, description="as data.weight")
    selection: Selection = EVERYTHING
    captions: Captions = FROM_TABLE


class DataConfig(Section):
    """The datasets, their mix, and how samples are cut from clips."""

    dataset: str | None = Field(None, description="folder or URL of an ingested dataset")
    latents: str | None = Field(
        None,
        description="folder or URL of the dataset's latents, made by `animatic encode`; null: frames are "
        "encoded during training",
    )
    weight: DatasetWeight = Field(
        1.0,
        description="share of data.dataset relative to data.others; [[0, 3], [10000, 1]]: 3, and 1 after "
        "10000 steps",
    )
    others: list[OtherDataset] = Field(
        [], description="more datasets, each {dataset, latents, weight, selection, captions}, mixed by weight"
    )
    selection: Selection = EVERYTHING
    captions: Captions = FROM_TABLE
    sampling: ClipSampling
    buckets: list[Bucket] = Field(
        [],
        description="sizes of samples in place of data.sampling's, each {height, width, frames, batch}: a "
        "clip belongs to the bucket of the nearest aspect ratio with the most frames that it has",
    )
    threads: int = Field(1, ge=1, description="decoding threads of each process")
    max_failure_share: float = Field(
        0.05, ge=0, le=1, description="largest share of unreadable samples; above it the run ends"
    )
    shuffle_shards: int = Field(
        SHUFFLE_SHARDS,
        ge=1,
        description="shards whose samples are shuffled together; the order of shards is shuffled too",
    )
    cache: CacheConfig = CacheConfig()

    @property
    def datasets(self) -> list[OtherDataset]:
        """All that are mixed, the main one first; empty where none is set."""
        if self.dataset is None:
            return []
        main = OtherDataset(
            dataset=self.dataset,
            latents=self.latents,
            weight=self.weight,
            selection=self.selection,
            captions=self.captions,
        )
        return [main, *self.others]

    @model_validator(mode="after")
    def _buckets_differ(self) -> Self:
        by_shape: dict[tuple[Fraction, int], Bucket] = {}
        for bucket in self.buckets:
            bucket.sampling(self.sampling)
            first = by_shape.setdefault((bucket.aspect, bucket.frames), bucket)
            if first is not bucket:
                raise ValueError(
                    f"buckets {first} and {bucket} have the same shape and length: no clip would be "
                    "assigned to the second, remove it"
                )
        return self

    @model_validator(mode="after")
    def _latents_have_one_size(self) -> Self:
        size = (self.sampling.height, self.sampling.width)
        others = [bucket for bucket in self.buckets if (bucket.height, bucket.width) != size]
        if others and (self.latents or any(each.latents for each in self.others)):
            raise ValueError(
                f"the latents store frames of {size[0]}x{size[1]}, but bucket {others[0]} has another size: "
                "remove data.latents, or use buckets that differ only in frames"
            )
        return self
