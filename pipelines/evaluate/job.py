"""The evaluation job: a bundle and held-out clips in, generated clips and a report out.

Clips are cut into fixed chunks; each is animated and measured by one of a few Ray actors and stored before
the next begins, so an interrupted evaluation continues. Noise depends on the seed and a clip's position in
the evaluation, so the report does not depend on the number of workers.
"""

from collections.abc import Callable, Iterator

from models.bundle import Bundle
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.chunk_worker import ChunkWorker
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.plan import EvaluationPlan, plan_evaluation
from pipelines.evaluate.records import EvaluationReport
from pipelines.evaluate.report import build_report
from pipelines.evaluate.storage import EvaluationFolder

Progress = Callable[[int, int], None]


def evaluate(
    bundle: Bundle, config: EvaluateConfig, progress: Progress = lambda done, total: None
) -> EvaluationReport:
    """Plan an evaluation and run it: see :func:`plan_evaluation` and :func:`run_evaluation`."""
    return run_evaluation(plan_evaluation(bundle, config), progress)


def run_evaluation(plan: EvaluationPlan, progress: Progress = lambda done, total: None) -> EvaluationReport:
    """Animate the first frames of the plan's clips and measure the results.

    Writes the clips and the report into ``config.output`` (see :class:`EvaluationFolder`); finished chunks
    are kept. ``progress`` is called with (clips done, clips).

    Raises AnimaticError if a clip cannot be decoded, if the output folder contains another evaluation, or if
    the network generates pixels that are not finite.
    """
    folder = EvaluationFolder(plan.config.output)
    folder.require_protocol(plan.protocol)
    total, size = len(plan.clips), plan.config.chunk
    chunks = [plan.clips[start : start + size] for start in range(0, total, size)]
    missing = {number: clips for number, clips in enumerate(chunks) if not folder.has_chunk(number)}
    done = total - sum(map(len, missing.values()))
    progress(done, total)
    for number in _make_chunks(plan, missing):
        done += len(chunks[number])
        progress(done, total)
    report = build_report(plan.protocol, [folder.read_chunk(number) for number in range(len(chunks))])
    folder.write_report(report)
    return report


def _make_chunks(plan: EvaluationPlan, missing: dict[int, list[int]]) -> Iterator[int]:
    """Have actors make the missing chunks; yields their numbers as they finish."""
    if missing:
        yield from run_on_actors(
            ChunkWorker,
            (plan.bundle.folder.resolve(), plan.config.model_dump_json(), plan.protocol),
            missing.items(),
            workers=min(plan.config.workers, len(missing)),
            gpus_per_worker=plan.config.gpus_per_worker,
            address=plan.config.address,
        )
