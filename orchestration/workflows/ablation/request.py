"""Options of ``animatic ablation`` → the matrix, and the options of its trainings and evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.assignments import parse_assignment
from core.config.keys import flatten
from core.config.layers import nested
from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.launch import LauncherName
from orchestration.workflows.ablation.matrix import Matrix, Run, build_matrix
from orchestration.workflows.ablation.variants import Variant, choose_variants
from orchestration.workflows.evaluate import EvaluateOptions
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from orchestration.workflows.train_request import TrainOptions, resolve_config
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from training.config import RunConfig
from training.config.run import MAX_RUN_SEED

_STAGES = (1, 2, 3)
_FIRST_STAGE, _LAST_STAGE = _STAGES[0], _STAGES[-1]
_CLIPS_AT_ONCE = 8
# The rate of each real clip, and the precision that is fast on CPUs and GPUs.
_SAMPLING = {"fps": None, "precision": "bfloat16"}
# The method's, whatever the preset has: the first frame is a variant.
_CONDITION = "data.sampling.condition=random"
# What the matrix decides itself.
_OWN_SETTINGS = ("ablation", "init.parent", "init.checkpoint", "data.dataset", "data.sampling.condition")


@dataclass(frozen=True)
class AblationOptions:
    """What to train and measure.

    Attributes:
        data: dataset to train on; None while it is only planned for.
        held_out: dataset to evaluate on, or a folder of NAME.mp4 with NAME.txt; None likewise.
        expected_clips: of held-out data that does not exist yet, for the estimate of the time.
        sets: assignments ``section.key=value`` for every run.
        variants: names; all if empty.
        seeds: how many; the first is the configuration's own.
        clips: held-out clips; all if None.
        sampling_steps: DDIM steps of the evaluations; the preset's if None.
        folder: of everything that is written; ``ablation-PRESET`` in the workspace if None.
        gpus: to train on; all if None.
        launcher: of the training processes.
        workers: Ray actors of the evaluations; one for each GPU or core if None, this process if 0.
    """

    preset: str
    data: str | None
    held_out: str | None
    sets: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    seeds: int = 1
    clips: int | None = None
    sampling_steps: int | None = None
    folder: Path | None = None
    gpus: int | None = None
    launcher: LauncherName = LauncherName.RAY
    workers: int | None = None
    expected_clips: int | None = None


@dataclass(frozen=True)
class AblationRequest:
    """A matrix that can be trained and evaluated.

    Attributes:
        configs: of stage 1 to 3 of the whole method.
        folder: of everything that is written.
        clips: of an evaluation; None where that is not known.
    """

    options: AblationOptions
    variants: tuple[Variant, ...]
    matrix: Matrix
    configs: Mapping[int, RunConfig]
    folder: Path
    clips: int | None

    @property
    def workspace(self) -> Workspace:
        """The ablation's own: no variant becomes the parent, or the champion, of other work."""
        return Workspace(self.folder)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings, in order."""
        return list(dict.fromkeys(cell.seed for cell in self.matrix.cells))

    def train_options(self, run: Run, parent: Path | None) -> TrainOptions:
        """How a run is trained; ``parent``: the bundle of its parent."""
        return _train_options(self.options, run, parent)

    def evaluate_options(self, bundle: Bundle) -> EvaluateOptions:
        """How a cell's bundle is evaluated: alike for all cells."""
        options = self.options
        if options.held_out is None:
            raise ValueError("an evaluation needs held-out clips")
        sampling = sampling_settings(bundle, SamplingOptions(steps=options.sampling_steps))
        return EvaluateOptions(
            data=options.held_out,
            bundle=str(bundle.folder),
            parent_folder=self.folder / "evaluations",
            clips=options.clips,
            stride=self.configs[_LAST_STAGE].data.sampling.stride[0],
            workers=options.workers,
            values={"sampling": sampling.model_copy(update=_SAMPLING), "chunk": _CLIPS_AT_ONCE},
        )


def prepare_ablation(options: AblationOptions, workspace: Workspace) -> AblationRequest:
    """Resolve the configuration of every run; nothing is read but configurations.

    Raises:
        AnimaticError: an unknown variant, preset or key, a value that does not fit a run, or an assignment of
            what the matrix decides.
    """
    _refuse_own_settings(options.sets)
    variants = choose_variants(options.variants)
    sets = (_CONDITION, *options.sets)
    configs = {
        number: resolve_config(TrainOptions(number, options.preset, sets, gpus=options.gpus))
        for number in _STAGES
    }
    seed = configs[_FIRST_STAGE].seed
    if seed + options.seeds - 1 > MAX_RUN_SEED:
        raise AnimaticError(f"{options.seeds} seeds from {seed} on exceed the largest one, {MAX_RUN_SEED}")
    steps = {number: config.train.steps for number, config in configs.items()}
    matrix = build_matrix(variants, range(seed, seed + options.seeds), steps)
    for run in matrix.runs:
        if run.seed == seed:  # which has no influence on whether the rest fits
            resolve_config(_train_options(options, run, None))
    folder = options.folder or workspace.root / f"ablation-{options.preset}"
    return AblationRequest(options, variants, matrix, configs, folder, _clip_count(options))


def _clip_count(options: AblationOptions) -> int | None:
    if options.clips is not None or options.held_out is None:
        return options.clips or options.expected_clips
    folder = Path(options.held_out)
    if folder.is_dir() and not (folder / "dataset.json").exists():
        return sum(1 for _ in folder.glob("*.mp4"))
    return len(Dataset.open(options.held_out).samples)


def _train_options(options: AblationOptions, run: Run, parent: Path | None) -> TrainOptions:
    values: dict[str, object] = {f"ablation.{name}": True for name in run.switches}
    if parent is not None:
        values["init.parent"] = str(parent)
    condition = () if "first_frame" in run.switches else (_CONDITION,)
    return TrainOptions(
        stage=run.stage,
        preset=options.preset,
        sets=(*condition, *options.sets, f"seed={run.seed}", f"train.steps={run.steps}"),
        data=options.data,
        gpus=options.gpus,
        values=values,
    )


def _refuse_own_settings(sets: Sequence[str]) -> None:
    for text in sets:
        name, value = parse_assignment(text)
        for chosen in flatten(nested({name: value})):
            own = next((each for each in _OWN_SETTINGS if f"{chosen}.".startswith(f"{each}.")), None)
            if own is not None:
                raise AnimaticError(
                    f"{text!r}: the matrix sets {own} itself; choose with --variant, --data and --held-out"
                )
