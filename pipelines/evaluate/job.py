"""The evaluation job: a bundle and held-out clips in, generated clips and a report out.

Clips are cut into fixed chunks; each is animated and measured by one of a few Ray actors and stored before
the next begins, so an interrupted evaluation continues. Noise depends on the seed and a clip's position in
the evaluation, so the report does not depend on the number of workers.
"""

from collections.abc import Callable, Iterator

from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from models.bundle import Bundle
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.chunk_worker import ChunkWorker
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.heldout import HeldOutSet, open_held_out
from pipelines.evaluate.metrics import DETECTOR
from pipelines.evaluate.records import EvaluationProtocol, EvaluationReport
from pipelines.evaluate.report import build_report
from pipelines.evaluate.storage import EvaluationFolder

Progress = Callable[[int, int], None]

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


def evaluate(
    bundle: Bundle, config: EvaluateConfig, progress: Progress = lambda done, total: None
) -> EvaluationReport:
    """Animate the first frames of held-out clips and measure the results.

    Writes the clips and the report into ``config.output`` (see :class:`EvaluationFolder`); finished chunks
    are kept. ``progress`` is called with (clips done, clips).

    Raises AnimaticError if the clips cannot be read, if there are too few of them, if the output folder holds
    another evaluation, or if the network generates pixels that are not finite.
    """
    config = config.absolute()
    frames_needed = _frames_needed(bundle, config)
    held_out = open_held_out(config.data)
    chosen = held_out.choose(config.clips, frames_needed, config.seed)
    protocol = _protocol(bundle, held_out, len(chosen), config)
    folder = EvaluationFolder(config.output)
    folder.require_protocol(protocol)
    chunks = [chosen[start : start + config.chunk] for start in range(0, len(chosen), config.chunk)]
    missing = {number: clips for number, clips in enumerate(chunks) if not folder.has_chunk(number)}
    done = len(chosen) - sum(map(len, missing.values()))
    progress(done, len(chosen))
    for number in _make_chunks(bundle, config, protocol, missing):
        done += len(chunks[number])
        progress(done, len(chosen))
    report = build_report(protocol, [folder.read_chunk(number) for number in range(len(chunks))])
    folder.write_report(report)
    return report


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


def _make_chunks(
    bundle: Bundle, config: EvaluateConfig, protocol: EvaluationProtocol, missing: dict[int, list[int]]
) -> Iterator[int]:
    """Have actors make the missing chunks; yields their numbers as they finish."""
    if missing:
        yield from run_on_actors(
            ChunkWorker,
            (bundle.folder.resolve(), config.model_dump_json(), protocol),
            missing.items(),
            workers=min(config.workers, len(missing)),
            gpus_per_worker=config.gpus_per_worker,
            address=config.address,
        )
