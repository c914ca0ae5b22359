"""Section ``data``: where samples come from and how they are cut."""

from pydantic import Field, field_validator

from pipelines.dataset.selection import EVERYTHING, Selection
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.stream import SHUFFLE_SHARDS
from pipelines.storage.shard_files import CacheConfig
from training.sections import Section

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


def _checked_weight(weight: float | WeightChanges) -> float | WeightChanges:
    steps = [step for step, _ in weight] if isinstance(weight, list) else [0]
    if steps[:1] != [0] or steps != sorted(set(steps)):
        raise ValueError(f"weights change at growing steps, the first of them 0, not at {steps}")
    return weight
