"""What to evaluate on, and how: the settings of an evaluation."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from core.config.section import Section
from core.urls import absolute
from models.diffusion.settings import SamplingSettings


class EvaluateConfig(Section):
    """What is evaluated on which clips, and how."""

    data: str = Field(description="held-out dataset, or a folder of NAME.mp4 with NAME.txt beside each")
    output: Path = Field(description="folder for the report and the generated clips")
    codec: str | None = Field(None, description="autoencoder for a bundle that contains none")
    encoders: str | None = Field(None, description="CLIP weights for a bundle that contains none")
    protocol: Literal["held-out", "ucf101", "msrvtt"] = Field(
        "held-out", description="how the data is read; ucf101 and msrvtt: a prepared set"
    )
    metrics: tuple[str, ...] | None = Field(
        None, description="names of the metrics; null: all that need no extractor but those given"
    )
    extractors: dict[str, str] = Field(
        default_factory=dict, description="networks that features come from: name and PATH or PATH@SHA256"
    )
    clips: int | None = Field(None, ge=1, description="how many clips, chosen by the seed; null: all")
    stride: int = Field(1, ge=1, description="distance between the real clips' frames")
    fps_condition: Literal["fps", "stride"] = Field("fps", description="as the bundle was trained")
    seed: int = Field(0, ge=0, description="of the choice of clips, their start, and the noise")
    sampling: SamplingSettings = Field(
        default_factory=SamplingSettings,
        description="its seed is unused; fps null: each clip's own",
    )
    chunk: int = Field(8, ge=1, description="clips animated as one batch")
    workers: int = Field(2, ge=0, description="Ray actors; 0: this process, without Ray")
    gpus_per_worker: float = Field(0, ge=0, description="0: on the CPU")
    address: str | None = Field(None, description="Ray cluster; null: local Ray")

    def absolute(self) -> "EvaluateConfig":
        """The same with absolute paths, for actors that run in another working directory."""
        paths = {name: path and absolute(path) for name, path in self.frozen_parts.items()}
        return self.model_copy(update={"data": absolute(self.data), "output": self.output.resolve(), **paths})

    @property
    def frozen_parts(self) -> dict[str, str | None]:
        """The paths of the frozen parts, by setting."""
        return {"codec": self.codec, "encoders": self.encoders}
