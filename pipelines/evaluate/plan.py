"""What an evaluation will do: which clips it animates, by which protocol."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.canonical_json import digest_of
from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from core.files import content_digests
from models.bundle import Bundle
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.heldout import HeldOutSet, open_held_out
from pipelines.evaluate.metrics import DETECTOR
from pipelines.evaluate.records import EvaluationProtocol
from pipelines.evaluate.storage import REPORT

# The settings that protocol.json records; the noise has the evaluation's seed.
RECORDED_SAMPLING = IdentityFormat(
    {
        "": (
            "steps",
            "eta",
            "text_guidance",
            "image_guidance",
            "guidance_rescale",
            "spacing",
            "fps",
            "precision",
        )
    },
    excluded={"seed"},
)


@dataclass(frozen=True)
class EvaluationPlan:
    """One evaluation before it starts; ``clips`` are numbers of held-out clips, in order."""

    bundle: Bundle
    config: EvaluateConfig
    protocol: EvaluationProtocol
    clips: list[int]

    @property
    def report(self) -> Path:
        """The file with the report, once it is written."""
        return self.config.output / REPORT

    def in_own_folder(self) -> "EvaluationPlan":
        """The same with an output folder below the configured one, named by bundle and protocol.

        So evaluations of other data, or with other settings, never meet in one folder.
        """
        name = f"{self.bundle.id[:12]}-{digest_of(self.protocol)[:8]}"
        config = self.config.model_copy(update={"output": self.config.output / name})
        return replace(self, config=config)


def plan_evaluation(
    bundle: Bundle, config: EvaluateConfig, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> EvaluationPlan:
    """Open the held-out clips, choose among them and fix the protocol; nothing is decoded or written.

    ``on_progress`` gets (megabytes read, megabytes) of the frozen parts, which are identified by content.
    Raises AnimaticError if the clips cannot be read, if there are too few of them, or if the bundle is an
    image model.
    """
    config = config.absolute()
    held_out = open_held_out(config.data)
    clips = held_out.choose(config.clips, _frames_needed(bundle, config), config.seed)
    protocol = _protocol(bundle, held_out, len(clips), config)
    parts = {name: Path(path) for name, path in config.frozen_parts.items() if path is not None}
    if parts:
        protocol = {**protocol, "frozen_parts": content_digests(parts, on_progress)}
    return EvaluationPlan(bundle, config, protocol, clips)


def _frames_needed(bundle: Bundle, config: EvaluateConfig) -> int:
    """Frames of a real clip at the configured stride. Raises AnimaticError for an image model."""
    architecture = bundle.info.architecture
    if not architecture.unet.temporal:
        raise AnimaticError(
            f"bundle {bundle.folder} is an image model (stage {bundle.info.stage}): it cannot animate"
        )
    return (architecture.frames - 1) * config.stride + 1


def _protocol(bundle: Bundle, held_out: HeldOutSet, count: int, config: EvaluateConfig) -> EvaluationProtocol:
    architecture = bundle.info.architecture
    return {
        "bundle": bundle.id,
        "stage": bundle.info.stage,
        "preset": bundle.info.preset,
        "data": held_out.digest,
        "n": count,
        "frames": architecture.frames,
        "height": architecture.height,
        "width": architecture.width,
        "stride": config.stride,
        "fps_condition": config.fps_condition,
        "seed": config.seed,
        "chunk": config.chunk,
        "detector": DETECTOR,
        "sampling": RECORDED_SAMPLING.values(config.sampling),
    }
