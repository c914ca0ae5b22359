"""The evaluation job: a system and held-out clips in, generated clips and a report out.

Clips are cut into fixed chunks. In the first phase each chunk is generated, in the second measured, by one of
a few Ray actors that stores it before it takes the next, so an interrupted evaluation continues. The noise of
a clip depends on the seed and its key, so the report does not depend on the number of workers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from models.bundle import Bundle
from pipelines.cluster.actors import Worker, run_on_actors
from pipelines.evaluate.clips import SampleShape
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.features import ChunkFeatures
from pipelines.evaluate.generating import ChunkGenerator, Generating
from pipelines.evaluate.measuring import ChunkMeasurer, Measuring
from pipelines.evaluate.metrics import REGISTRY, Reduced, SetMetric
from pipelines.evaluate.plan import EvaluationPlan, plan_evaluation
from pipelines.evaluate.records import EvaluationReport, Timings
from pipelines.evaluate.report import build_report, encode_report
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.systems import bundle_system

Progress = Callable[[int, int], None]
T = TypeVar("T")


def evaluate(
    bundle: Bundle,
    config: EvaluateConfig,
    on_generated: Progress = lambda done, total: None,
    on_measured: Progress = lambda done, total: None,
) -> EvaluationReport:
    """Plan the evaluation of a bundle and run it; errors as those of the functions that it calls."""
    plan = plan_evaluation(bundle_system(bundle, config), config)
    generate_clips(plan, on_generated)
    return measure_clips(plan, on_measured)


def generate_clips(plan: EvaluationPlan, progress: Progress = lambda done, total: None) -> None:
    """Have the system make a clip for the first frame of each of the plan's clips.

    They are written into ``config.output`` (see :class:`EvaluationFolder`); finished chunks are kept.
    ``progress`` is called with (clips done, clips).

    Raises AnimaticError if a clip cannot be decoded, if the output folder contains another evaluation, or if
    the network generates pixels that are not finite.
    """
    folder = EvaluationFolder(plan.config.output)
    with folder.writing():
        folder.require_identity(plan.identity)
        chunks = enumerate(plan.chunks)
        missing = {number: (number, clips) for number, clips in chunks if not folder.has_chunk(number)}
        _on_actors(plan, ChunkGenerator, generating(plan), missing, progress)


def measure_clips(plan: EvaluationPlan, progress: Progress = lambda done, total: None) -> EvaluationReport:
    """Measure the generated clips with the plan's metrics, and write the report.

    Rows and features that are stored are kept. ``progress`` is called with (clips done, clips).

    Raises AnimaticError if a chunk is missing or damaged, or a figure is not finite.
    """
    folder = EvaluationFolder(plan.config.output)
    with folder.writing():
        missing = {
            number: number for number in range(len(plan.chunks)) if not is_measured(plan, folder, number)
        }
        _on_actors(plan, ChunkMeasurer, measuring(plan), missing, progress)
        return report_measured(plan, folder)


def generating(plan: EvaluationPlan) -> Generating:
    """What actors need to make the clips of a plan."""
    protocol = plan.protocol
    return Generating(
        system=plan.system,
        protocol=plan.config.protocol,
        data=plan.config.data,
        shape=SampleShape(protocol["frames"], protocol["height"], protocol["width"], protocol["stride"]),
        seed=plan.config.seed,
        output=plan.config.output,
        device=_device(plan),
    )


def measuring(plan: EvaluationPlan) -> Measuring:
    """What actors need to measure the clips of a plan."""
    return Measuring(
        metrics=plan.metrics,
        extractors=plan.extractors,
        system=plan.system,
        seed=plan.config.seed,
        output=plan.config.output,
        measurement=plan.measurement,
        device=_device(plan),
    )


def report_measured(plan: EvaluationPlan, folder: EvaluationFolder) -> EvaluationReport:
    """Write the report of a plan whose chunks are all measured.

    Raises AnimaticError if a stored chunk is missing or damaged.
    """
    numbers = range(len(plan.chunks))
    measured = [folder.read_measured(plan.measurement, number) for number in numbers]
    rows = [row for chunk in measured for row in chunk["rows"]]
    report = build_report(
        plan.identity,
        [REGISTRY[metric] for metric in plan.metrics],
        rows,
        _reduce(plan, folder, [row["source"] for row in rows]),
        plan.extractors,
    )
    timings: Timings = {
        "generate_s": round(sum(folder.chunk_record(number)["seconds"] for number in numbers), 3),
        "measure_s": round(sum(chunk["seconds"] for chunk in measured), 3),
    }
    folder.write_report(encode_report(report), timings)
    return report


def is_measured(plan: EvaluationPlan, folder: EvaluationFolder, number: int) -> bool:
    """Whether the rows of a chunk are stored, and the features that metrics of all clips read."""
    extractors = {metric.extractor for metric in _set_metrics(plan)}
    return folder.has_measured(plan.measurement, number) and all(
        folder.has_features(plan.extractors[name].identity, number) for name in extractors
    )


def _set_metrics(plan: EvaluationPlan) -> list[SetMetric]:
    return [metric for name in plan.metrics if isinstance(metric := REGISTRY[name], SetMetric)]


def _reduce(plan: EvaluationPlan, folder: EvaluationFolder, sources: Sequence[str]) -> dict[str, Reduced]:
    """The values of the metrics of all clips, from the stored features."""

    def chunks(extractor: str) -> Iterator[ChunkFeatures]:
        identity = plan.extractors[extractor].identity
        for number in range(len(plan.chunks)):
            yield folder.read_features(identity, number)

    return {
        metric.name: metric.reduce(partial(chunks, metric.extractor), sources)
        for metric in _set_metrics(plan)
    }


def _on_actors(
    plan: EvaluationPlan,
    worker: Callable[..., Worker[T, int]],
    work: object,
    tasks: Mapping[int, T],
    progress: Progress,
) -> None:
    """Have actors do the tasks of the chunks with these numbers; the clips of all others are done."""
    chunks, total = plan.chunks, len(plan.clips)
    done = total - sum(len(chunks[number]) for number in tasks)
    progress(done, total)
    if not tasks:
        return
    for number in run_on_actors(
        worker,
        (work,),
        tasks.values(),
        workers=min(plan.config.workers, len(tasks)),
        gpus_per_worker=plan.config.gpus_per_worker,
        address=plan.config.address,
    ):
        done += len(chunks[number])
        progress(done, total)


def _device(plan: EvaluationPlan) -> str:
    return "cuda" if plan.config.gpus_per_worker else "cpu"
