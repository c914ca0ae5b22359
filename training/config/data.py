"""Section ``data``: where samples come from and how they are cut."""

from fractions import Fraction
from typing import Self

from pydantic import Field, field_validator, model_validator

from pipelines.loader import EVERYTHING, SHUFFLE_SHARDS, Bucket, CacheConfig, ClipSampling, Selection
from training.config.sections import Section

WeightChanges = list[tuple[int, float]]


class OtherDataset(Section):
    """A dataset that is trained on together with ``data.dataset``."""

    dataset: str = Field(description="folder or URL of an ingested dataset")
    latents: str | None = Field(None, description="folder or URL of its latents")
    weight: float | WeightChanges = Field(1.0, description="see data.weight")
    selection: Selection = EVERYTHING

    @field_validator("weight")
    @classmethod
    def _from_the_start(cls, weight: float | WeightChanges) -> float | WeightChanges:
        return _checked_weight(weight)


class DataConfig(Section):
    """Where samples come from and how they are cut."""

    dataset: str | None = Field(None, description="folder or URL of an ingested dataset")
    latents: str | None = Field(
        None,
        description="folder or URL of latents that `animatic encode` made of the dataset; null: frames are "
        "encoded in training",
    )
    weight: float | WeightChanges = Field(
        1.0,
        description="of data.dataset among data.others; [[0, 3], [10000, 1]]: 3, and 1 after 10000 steps",
    )
    others: list[OtherDataset] = Field(
        [], description="more datasets, each {dataset, latents, weight, selection}, mixed in by weight"
    )
    selection: Selection = EVERYTHING
    sampling: ClipSampling
    buckets: list[Bucket] = Field(
        [],
        description="sizes of training samples in place of data.sampling's, each {height, width, frames, "
        "batch}: a clip is shown in the nearest shape, as long as it allows; batch null: train.global_batch",
    )
    threads: int = Field(1, ge=1, description="decoding threads per rank")
    max_failure_share: float = Field(
        0.05, ge=0, le=1, description="a run ends when a larger share of its samples cannot be read"
    )
    shuffle_shards: int = Field(
        SHUFFLE_SHARDS,
        ge=1,
        description="shards whose samples are shuffled together, in an order of shards that is shuffled too",
    )
    cache: CacheConfig = CacheConfig()

    @field_validator("weight")
    @classmethod
    def _from_the_start(cls, weight: float | WeightChanges) -> float | WeightChanges:
        return _checked_weight(weight)

    @model_validator(mode="after")
    def _buckets_differ(self) -> Self:
        taken: dict[tuple[Fraction, int], Bucket] = {}
        for bucket in self.buckets:
            bucket.sampling(self.sampling)
            first = taken.setdefault((bucket.aspect, bucket.frames), bucket)
            if first is not bucket:
                raise ValueError(
                    f"buckets {first} and {bucket} have the same shape and length: no clip would ever be in "
                    "the second, leave it out"
                )
        return self

    @model_validator(mode="after")
    def _latents_have_one_size(self) -> Self:
        size = (self.sampling.height, self.sampling.width)
        others = [bucket for bucket in self.buckets if (bucket.height, bucket.width) != size]
        if others and (self.latents or any(each.latents for each in self.others)):
            raise ValueError(
                f"latents are of frames of {size[0]}x{size[1]}, but bucket {others[0]} is of another size: "
                "leave out data.latents, or let buckets differ in frames alone"
            )
        return self


def _checked_weight(weight: float | WeightChanges) -> float | WeightChanges:
    steps = [step for step, _ in weight] if isinstance(weight, list) else [0]
    if steps[:1] != [0] or steps != sorted(set(steps)):
        raise ValueError(f"weights change at growing steps, the first of them 0, not at {steps}")
    return weight
