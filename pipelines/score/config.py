"""What is scored, and by what: settings, read without the libraries that compute."""

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from models.architecture import EncoderConfig
from pipelines.cluster.shard_jobs import ShardJob

MetricName = Literal["clip", "aesthetic", "flow", "subject_motion", "text", "blur"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
_WITH_CLIP = ("clip", "aesthetic")


class ScoreConfig(ShardJob):
    """What is scored, and by what."""

    metrics: tuple[MetricName, ...] = Field(("clip",), description="what is measured; each has a column")
    encoders: EncoderConfig | None = Field(None, description="the CLIP model, for `clip` and `aesthetic`")
    head: str | None = Field(None, description="file of the head over its embeddings, for `aesthetic`")
    detector: str | None = Field(
        None, description="folder of a text detector of transformers, for `text`; null: as ingest measures it"
    )
    frames: int = Field(
        4,
        ge=1,
        le=64,
        description="of each clip, evenly drawn, that `aesthetic`, `blur` and a detector look at",
    )
    batch: int = Field(64, ge=1, description="samples at a time")

    @field_validator("metrics")
    @classmethod
    def _some(cls, metrics: tuple[MetricName, ...]) -> tuple[MetricName, ...]:
        if not metrics:
            raise ValueError(f"name at least one of {', '.join(METRICS)}")
        # In one order, so that what is computed together does not depend on how it was asked for.
        return tuple(name for name in METRICS if name in metrics)

    @model_validator(mode="after")
    def _models_are_given(self) -> Self:
        needing = [name for name in self.metrics if name in _WITH_CLIP]
        if needing and self.encoders is None:
            raise ValueError(
                f"weights of a CLIP model are missing, for {' and '.join(needing)}: give --weights, "
                "or measure --metrics flow,subject_motion,text,blur, which need none"
            )
        if "aesthetic" in self.metrics and self.head is None:
            raise ValueError("a head over CLIP's embeddings is missing, for aesthetic: give --head")
        return self
