"""What is captioned, by which model and how. Read without the libraries that do it."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.errors import AnimaticError
from pipelines.cluster.shard_jobs import ShardJob

PREFIX, REASON = "caption_", "_reason"
_LONGEST_NAME = 64 - len(PREFIX) - len(REASON)


class CaptionConfig(ShardJob):
    """What is captioned, by which model and how."""

    model: str = Field(description="folder of a model of transformers: config.json, *.safetensors, …")
    name: str | None = Field(
        None, description="NAME of the column caption_NAME; null: after the model's folder"
    )
    prompt: str | None = Field(
        None,
        description="instruction to the model; null: one for a sentence that describes the video, where the "
        "model has a chat template, otherwise none",
    )
    frames: int | None = Field(
        None,
        ge=1,
        le=256,
        description="of each clip, evenly drawn; null: 8 for models that read videos, 1 for others",
    )
    short_side: int = Field(512, ge=16, description="of the frames, at most, pixels")
    only_missing: bool = Field(False, description="caption only clips that have no caption in the table")
    max_new_tokens: int = Field(64, ge=1, description="of a caption")
    max_characters: int = Field(1000, ge=1, description="longer captions are cut at a word")
    beams: int = Field(1, ge=1, description="of the beam search; 1: greedy decoding")
    batch: int | None = Field(
        None, ge=1, description="clips at a time; null: as many as fit a GPU's memory, 1 on the CPU"
    )
    dtype: Literal["bfloat16", "float16", "float32"] | None = Field(
        None,
        description="of the weights; null: bfloat16 on a GPU that has it, else float16; float32 on the CPU",
    )
    threads: int = Field(2, ge=1, description="decoding threads per worker")

    @property
    def column(self) -> str:
        """Name of the column of captions. Raises AnimaticError if ``name`` cannot be part of one."""
        if self.name is None:
            slug = re.sub(r"[^a-z0-9]+", "_", Path(self.model).name.lower()).strip("_")
            return PREFIX + (slug[:_LONGEST_NAME].strip("_") or "model")
        name = self.name.removeprefix(PREFIX)
        if not re.fullmatch(rf"[a-z0-9_]{{1,{_LONGEST_NAME}}}", name) or name.endswith(REASON):
            raise AnimaticError(
                f"--name {self.name!r:.80} cannot name a column of captions: use up to {_LONGEST_NAME} "
                f"lower-case letters, digits and underscores, not {REASON} at the end"
            )
        return PREFIX + name
