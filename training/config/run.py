"""Configuration of a training run: typed, layered, unknown keys rejected.

Layers, later ones winning: the preset's base, its section for the stage, YAML files, values, assignments.
The values that define a stage (:data:`training.stages.STAGES`) are set last; choosing other ones is an error.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from core.config.keys import check_names, flatten
from core.config.layers import Layer, fill, merged, read_yaml, user_layers
from core.config.section import Section
from core.config.validation import check_values
from core.config.validation import validate as validate_model
from core.errors import AnimaticError
from models.architecture import Architecture
from models.diffusion.student import guidance_scales
from training.config.data import DataConfig
from training.config.operation import (
    LaunchConfig,
    ObserveConfig,
    TrackingConfig,
    UploadConfig,
    ValidationConfig,
)
from training.config.presets import preset_layers
from training.config.sections import (
    AblationConfig,
    GuardConfig,
    InitConfig,
    ObjectiveConfig,
    OptimizerConfig,
    TrainConfig,
)
from training.stages import STAGES, stage_values

# Torch takes 64 bits, of which the step and the process of a draw take half.
MAX_RUN_SEED = 2**32 - 1


class RunConfig(Section):
    """Configuration of a run, which trains one stage."""

    stage: Literal[0, 1, 2, 3, 4] = Field(
        description="0 prior, 1 context, 2 adaptation, 3 detail guidance, 4 distillation"
    )
    preset: str = Field(description="name of the preset that the other values override")
    seed: int = Field(
        0, ge=0, le=MAX_RUN_SEED, description="of initial weights, sample order, noise and dropout"
    )
    model: Architecture
    data: DataConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    guard: GuardConfig = GuardConfig()
    validation: ValidationConfig = ValidationConfig()
    observe: ObserveConfig = ObserveConfig()
    tracking: TrackingConfig = TrackingConfig()
    upload: UploadConfig = UploadConfig()
    launch: LaunchConfig = LaunchConfig()
    init: InitConfig = InitConfig()
    ablation: AblationConfig = AblationConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        sampling, model = self.data.sampling, self.model
        for name in ("frames", "height", "width"):
            if getattr(sampling, name) != getattr(model, name):
                raise ValueError(
                    f"data.sampling.{name} is {getattr(sampling, name)} but model.{name} is "
                    f"{getattr(model, name)}: set only model.{name}, which data.sampling follows"
                )
        step = model.size_step
        for bucket in self.data.buckets:
            if bucket.height % step or bucket.width % step:
                raise ValueError(
                    f"data.buckets: height and width must be multiples of {step} for this network: {bucket}"
                )
        if self.observe.last_profiled > self.train.steps:
            raise ValueError(
                f"observe.profile {self.observe.profile}: the run ends after step {self.train.steps} "
                "(train.steps)"
            )
        if self.stage == 1 and self.ablation.no_context:
            raise ValueError("ablation.no_context leaves out what stage 1 trains: start with stage 2")
        if self.train.image_batches and self.stage != 0:
            raise ValueError("train.image_batches is for stage 0 only")
        if self.optimizer.kind == "adamw_8bit" and self.train.zero_stage:
            raise ValueError(
                "optimizer.kind adamw_8bit has the moments of whole tensors in every process, which ZeRO "
                f"stage {self.train.zero_stage} shards: set train.zero_stage=0, with train.precision "
                "autocast-bf16 or fp32 and without train.offload_optimizer"
            )
        return self

    @model_validator(mode="after")
    def _objective_fits_the_stage(self) -> Self:
        kind, student = self.objective.kind, self.model.student
        if (kind == "denoising") == STAGES[self.stage].distils:
            fitting = "stage 4, which distils" if kind != "denoising" else "stages 0 to 3"
            raise ValueError(f"objective.kind {kind} is for {fitting}, not for stage {self.stage}")
        if (kind == "consistency") != (student is not None and student.points is not None):
            raise ValueError(
                f"objective.kind {kind} and model.student.points: kind consistency needs points (50, as "
                "published), other kinds have none"
            )
        if student is not None:
            # The bundle's sampling settings, which must be ones that it accepts.
            try:
                guidance_scales(student, self.validation.sampling)
            except AnimaticError as error:
                raise ValueError(f"validation.sampling does not fit model.student: {error}") from error
        return self

    @model_validator(mode="after")
    def _motion_agrees(self) -> Self:
        sampling, model = self.data.sampling, self.model
        if model.motion_calibration is not None:
            raise ValueError(
                "model.motion_calibration is measured of a finished network: remove it here, and run "
                "`animatic calibrate-motion` on the bundle"
            )
        if sampling.motion_condition != (model.unet.motion_condition and model.unet.temporal):
            raise ValueError(
                "data.sampling.motion_condition follows model.unet.motion_condition: set only that one"
            )
        if self.validation.sampling.motion is not None and not sampling.motion_condition:
            raise ValueError(
                "validation.sampling.motion is for a network with model.unet.motion_condition, and for clips"
            )
        return self

    @model_validator(mode="after")
    def _run_is_long_enough(self) -> Self:
        optimizer, train = self.optimizer, self.train
        falls = optimizer.schedule != "constant" and optimizer.decay_steps is None
        if falls and train.steps <= optimizer.warmup_steps:
            raise ValueError(
                f"optimizer.schedule {optimizer.schedule} begins after the {optimizer.warmup_steps} steps of "
                f"the warm-up, but train.steps is {train.steps}: shorten optimizer.warmup_steps, or set "
                "optimizer.decay_steps"
            )
        if train.ema_start and train.ema_start >= train.steps:
            raise ValueError(
                f"train.ema_start {train.ema_start} is not before the last of {train.steps} steps: no "
                "average would be kept; choose an earlier step, or leave out train.ema_decay"
            )
        return self

    @model_validator(mode="after")
    def _rollbacks_have_checkpoints(self) -> Self:
        train, skipped = self.train, self.guard.rollback_after
        if skipped is None:
            return self
        if skipped > train.max_skipped:
            raise ValueError(
                f"guard.rollback_after {skipped} is above train.max_skipped {train.max_skipped}, at which "
                "the run would end before: choose at most as many"
            )
        # Those of the skipped steps but the last, after which the run goes back.
        during = math.ceil((skipped - 1) / train.checkpoint_every)
        if during >= train.keep_checkpoints:
            raise ValueError(
                f"guard.rollback_after {skipped} needs a checkpoint of before the skipped steps, but of "
                f"those of every {train.checkpoint_every} steps the newest {train.keep_checkpoints} are "
                f"kept: set train.keep_checkpoints={during + 1} or more"
            )
        return self


def resolve(
    stage: int,
    preset: str,
    sets: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    values: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The complete configuration of a stage.

    Args:
        stage: 0 to 4.
        preset: one of :func:`presets`.
        sets: assignments ``section.key=value``, values in YAML.
        files: YAML files with the same sections.
        values: settings by dotted name, used as they are, never parsed; they override ``files``, and
            ``sets`` override them.

    Raises AnimaticError for an unknown preset, stage or key (naming the nearest valid one) and for values
    that do not fit.
    """
    if stage not in STAGES:
        raise AnimaticError(f"stage {stage} does not exist: choose one of {', '.join(map(str, STAGES))}")
    user = user_layers(files, values, sets)
    layers: list[Layer] = [{"stage": stage, "preset": preset}, *preset_layers(stage, preset), *user]
    check_names(RunConfig, *layers)
    resolved = merged(layers)
    chosen = {name: value for layer in user for name, value in flatten(layer).items()}
    _check_student(stage, chosen)
    fill(resolved, stage_values(stage, resolved), chosen, fixed_by=f"stage {stage} of this model")
    return check_values(validate(resolved))


def _check_student(stage: int, chosen: Mapping[str, Any]) -> None:
    """Refuse settings of a student that a stage without one would leave out."""
    named = [
        name for name, value in chosen.items() if name.startswith("model.student.") and value is not None
    ]
    if named and not STAGES[stage].distils:
        raise AnimaticError(f"{named[0]} is for stage 4, which distils, not for stage {stage}: leave it out")


def validate(values: Mapping[str, Any]) -> RunConfig:
    """The configuration with these nested values. Raises AnimaticError for unknown keys and unfit values."""
    return validate_model(RunConfig, values)


def load(path: Path) -> RunConfig:
    """The configuration in a file of :func:`dump_yaml`. Raises AnimaticError if it cannot be read."""
    return validate(read_yaml(path))


def dump_yaml(config: RunConfig) -> str:
    """The complete configuration as YAML; :func:`load` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
