"""Which clips count as near-duplicates, and by which embeddings."""

from pydantic import Field

from models.architecture import EncoderConfig
from pipelines.cluster.shard_jobs import ShardJob


class SimilarConfig(ShardJob):
    """What is embedded, by what, and from which cosine on two clips are near-duplicates."""

    encoders: EncoderConfig = Field(description="the CLIP model")
    frames: int = Field(4, ge=1, le=64, description="of each clip, spread over its length")
    batch: int = Field(16, ge=1, description="clips at a time")
    threshold: float = Field(0.95, gt=0, le=1, description="least cosine of near-duplicates")
    block: int = Field(65_536, ge=1, description="samples in memory at a time, and searched at once")
