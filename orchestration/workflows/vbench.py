"""VBench-I2V: clips for it, and its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.config.validation import configure
from core.errors import AnimaticError
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.evaluate.vbench.importing import VBenchRecord

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VBenchExportOptions:
    """What to export, and where.

    ``source``: the folder of an evaluation, whose clips are written; or VBench's list of prompts, for each of
    which the bundle (the champion if None) generates five clips from one of ``pictures``, a folder.
    ``dimensions``: those whose prompts are used, all if empty; ``playback``: frames per second of the files.
    The others are those of :class:`orchestration.workflows.evaluate.EvaluateOptions`.
    """

    source: Path
    output: Path
    pictures: Path | None = None
    dimensions: tuple[str, ...] = ()
    bundle: str | None = None
    steps: int | None = None
    seed: int = 0
    playback: float = 8.0
    workers: int | None = None
    gpus: int | None = None
    codec: str | None = None
    encoders: str | None = None


@dataclass(frozen=True)
class VBenchExport:
    """The folder, and the number of clips in it."""

    folder: Path
    exported: int


@dataclass(frozen=True)
class VBenchImport:
    """The stored record."""

    file: Path
    record: VBenchRecord


def export(
    options: VBenchExportOptions, workspace: Workspace, on_progress: Progress = lambda done, total: None
) -> VBenchExport:
    """Write clips in VBench's layout; ``on_progress`` gets (clips done, clips).

    Raises:
        AnimaticError: the source is neither an evaluation nor a list of prompts, a picture is missing, the
            folder has clips of another system, or there is no bundle that can animate.
    """
    from pipelines.evaluate.vbench import export as writing

    if options.source.is_dir():
        if options.pictures is not None or options.dimensions:
            raise AnimaticError(
                "--pictures and --dimension go with VBench's list of prompts, not an evaluation"
            )
        clips = writing.export_evaluation(options.source, options.output, options.playback, on_progress)
        return VBenchExport(options.output, clips)
    if options.pictures is None:
        raise AnimaticError(
            f"{options.source} is not the folder of an evaluation; for VBench's list of prompts pass "
            "--pictures, its folder of one aspect ratio"
        )
    return VBenchExport(
        options.output, _export_for_prompts(options, options.pictures, workspace, on_progress)
    )


def import_results(files: Sequence[Path], folder: Path | None) -> VBenchImport:
    """Store the scores of result files as ``vbench.json`` in ``folder``; None: that of the first file.

    Raises:
        AnimaticError: a file is not a result of VBench-I2V.
    """
    from pipelines.evaluate.vbench import importing

    record = importing.import_results(files)
    return VBenchImport(importing.write_results(record, folder or files[0].parent), record)


def _export_for_prompts(
    options: VBenchExportOptions, pictures: Path, workspace: Workspace, on_progress: Progress
) -> int:
    from orchestration.devices import actor_settings
    from orchestration.registry import check_complete, select_bundle
    from orchestration.workflows.evaluate import fps_condition
    from orchestration.workflows.sampling import SamplingOptions, sampling_settings
    from pipelines.evaluate import EvaluateConfig, bundle_system
    from pipelines.evaluate.vbench.export import VBenchWork, export_for_prompts
    from pipelines.evaluate.vbench.layout import read_prompts

    prompts = read_prompts(options.source, pictures.resolve(), options.dimensions)
    bundle = select_bundle(workspace.ledger, options.bundle)
    check_complete(bundle, options.codec, options.encoders)
    config = configure(
        EvaluateConfig,
        values={
            "data": str(options.source),
            "output": options.output,
            "codec": options.codec,
            "encoders": options.encoders,
            "sampling": sampling_settings(bundle, SamplingOptions(steps=options.steps)),
            "fps_condition": fps_condition(bundle.info.preset),
            "seed": options.seed,
            "chunk": 1,
            **actor_settings(options.workers, options.gpus, None),
        },
    )
    work = VBenchWork(
        system=bundle_system(bundle, config),
        output=options.output.resolve(),
        seed=config.seed,
        fps=options.playback,
        workers=config.workers,
        gpus_per_worker=config.gpus_per_worker,
    )
    return export_for_prompts(work, prompts, on_progress)
