"""Configuration of a training run: typed, layered, unknown keys rejected.

Layers, later ones win: the preset's base, its section for the stage, YAML files, ``--set`` assignments.
What a stage is by definition (:data:`training.stages.STAGES`) is filled in afterwards and cannot be
contradicted.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.architecture import Architecture
from models.errors import AnimaticError
from models.recompute import Recompute
from models.sampler import SamplingSettings
from pipelines.dataset.selection import EVERYTHING, Selection
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.stream import SHUFFLE_SHARDS
from pipelines.storage.shard_files import CacheConfig
from training.names import check_names, flatten
from training.recipe import STAGES, stage_values

PRESETS = Path(__file__).parent / "presets"


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


WeightChanges = list[tuple[int, float]]


class OtherDataset(Section):
    """A dataset that is trained on together with ``data.dataset``."""

    dataset: str = Field(description="folder or URL of an ingested dataset")
    latents: str | None = Field(None, description="folder or URL of its latents")
    weight: float | WeightChanges = Field(1.0, description="see data.weight")
    selection: Selection = EVERYTHING

    @field_validator("weight")
    @classmethod
    def _from_the_start(cls, weight: float | WeightChanges) -> float | WeightChanges:
        return _checked_weight(weight)


class DataConfig(Section):
    """Where samples come from and how they are cut."""

    dataset: str | None = Field(None, description="folder or URL of an ingested dataset")
    latents: str | None = Field(
        None,
        description="folder or URL of latents that `animatic encode` made of the dataset; null: frames are "
        "encoded in training",
    )
    weight: float | WeightChanges = Field(
        1.0,
        description="of data.dataset among data.others; [[0, 3], [10000, 1]]: 3, and 1 after 10000 steps",
    )
    others: list[OtherDataset] = Field(
        [], description="more datasets, each {dataset, latents, weight, selection}, mixed in by weight"
    )
    selection: Selection = EVERYTHING
    sampling: ClipSampling
    threads: int = Field(1, ge=1, description="decoding threads per rank")
    max_failure_share: float = Field(
        0.05, ge=0, le=1, description="a run ends when a larger share of its samples cannot be read"
    )
    shuffle_shards: int = Field(
        SHUFFLE_SHARDS,
        ge=1,
        description="shards whose samples are shuffled together, in an order of shards that is shuffled too",
    )
    cache: CacheConfig = CacheConfig()

    @field_validator("weight")
    @classmethod
    def _from_the_start(cls, weight: float | WeightChanges) -> float | WeightChanges:
        return _checked_weight(weight)


def _checked_weight(weight: float | WeightChanges) -> float | WeightChanges:
    steps = [step for step, _ in weight] if isinstance(weight, list) else [0]
    if steps[:1] != [0] or steps != sorted(set(steps)):
        raise ValueError(f"weights change at growing steps, the first of them 0, not at {steps}")
    return weight


class OptimizerConfig(Section):
    """AdamW with linear warm-up to a constant rate."""

    lr: float = Field(gt=0, description="learning rate after the warm-up")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay rates")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    grad_clip: float = Field(0.5, ge=0, description="largest gradient norm; 0 switches clipping off")


class TrainConfig(Section):
    """The loop."""

    steps: int = Field(gt=0, description="optimizer steps of the whole stage")
    global_batch: int = Field(gt=0, description="samples per optimizer step over all ranks, exactly")
    micro_batch: int | None = Field(
        None, gt=0, description="samples per forward pass and rank; null: the rank's whole share"
    )
    precision: Literal["fp32", "bf16", "fp16", "autocast-bf16"] = Field(
        "autocast-bf16",
        description="bf16 and fp16 keep weights of that type and fp32 masters (fp16 scales the loss); "
        "autocast-bf16 keeps fp32 weights",
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="DeepSpeed ZeRO stage")
    activation_checkpointing: Recompute = Field(
        "none", description="recomputed in the backward pass: nothing, the transformers, or every block"
    )
    ema_decay: float | None = Field(None, gt=0, lt=1, description="decay of averaged weights; null: none")
    trainable: list[str] | None = Field(
        None, description="globs of parameter names trained besides the stage's own set"
    )
    image_batches: float = Field(
        0.0, ge=0, le=1, description="stage 0: share of steps that leave the temporal layers out"
    )
    checkpoint_every: int = Field(1000, gt=0, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, gt=0, description="newest checkpoints kept")
    log_every: int = Field(10, gt=0, description="steps between journal lines")
    max_skipped: int = Field(10, gt=0, description="skipped steps in a row that end the run")
    bundle_dtype: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="precision of the bundle")

    @model_validator(mode="after")
    def _masters_exist(self) -> Self:
        if self.precision in ("bf16", "fp16") and self.zero_stage == 0:
            raise ValueError(
                f"precision {self.precision} keeps its fp32 master weights in ZeRO: use zero_stage 1 to 3, "
                "or precision autocast-bf16"
            )
        if self.image_batches and self.zero_stage == 3:
            # Measured: ZeRO-3 steps layers that took no part with the gradients of an earlier step.
            raise ValueError(
                "image_batches leaves layers out, which ZeRO stage 3 cannot do: use zero_stage 0 to 2"
            )
        if self.micro_batch and self.global_batch % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide global_batch {self.global_batch}"
            )
        return self


class ValidationConfig(Section):
    """Samples drawn while training."""

    every: int = Field(0, ge=0, description="steps between samples; 0: never")
    count: int = Field(2, gt=0, description="clips per sample, from the start of the dataset")
    prompts: list[str] | None = Field(None, description="captions in place of the dataset's")
    sampling: SamplingSettings = SamplingSettings()


class TrackingConfig(Section):
    """Mirrors of the journal."""

    mlflow_uri: str | None = Field(None, description="tracking server or sqlite file; null: local sqlite")
    wandb: Literal["offline", "online", "disabled"] = Field("offline", description="Weights & Biases mode")
    project: str = Field("animatic", description="experiment (MLflow) and project (W&B)")


class LaunchConfig(Section):
    """Processes."""

    workers: int = Field(1, gt=0, description="training processes")
    gpus_per_worker: Literal[0, 1] = Field(0, description="1: a GPU for each; 0: CPU")
    address: str | None = Field(None, description="Ray cluster; null: a local one")


class InitConfig(Section):
    """Bundles that the stage starts from; ``prior`` names the one that ships with the code."""

    base: str | None = Field(None, description="bundle with the text-to-image or text-to-video network")
    parent: str | None = Field(None, description="bundle of the stage before")


class AblationConfig(Section):
    """The paper's ablations; all off is the method."""

    no_context: bool = Field(False, description="no query transformer, no image attention")
    no_detail_guidance: bool = Field(False, description="stage 3 without the concatenated latent")
    first_frame: bool = Field(False, description="the first frame as condition instead of a random one")
    one_stage: bool = Field(False, description="stage 3 straight from stage 1's bundle")


class RunConfig(Section):
    """Everything that decides a run."""

    stage: Literal[0, 1, 2, 3] = Field(description="0 prior, 1 context, 2 adaptation, 3 detail guidance")
    preset: str = Field(description="name of the preset underneath")
    seed: int = Field(0, ge=0, description="of initial weights, sample order, noise and dropout")
    model: Architecture
    data: DataConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    validation: ValidationConfig = ValidationConfig()
    tracking: TrackingConfig = TrackingConfig()
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
                    f"{getattr(model, name)}: set model.{name} alone, the data follow"
                )
        if self.stage == 1 and self.ablation.no_context:
            raise ValueError("stage 1 trains what ablation.no_context leaves out: begin with stage 2")
        if self.train.image_batches and self.stage != 0:
            raise ValueError("train.image_batches belongs to stage 0 only")
        return self


def presets() -> list[str]:
    """Names of the presets that ship, by resolution."""
    return sorted(
        (path.stem for path in PRESETS.glob("*.yaml")), key=lambda name: (name != "tiny", len(name), name)
    )


def resolve(stage: int, preset: str, sets: Sequence[str] = (), files: Sequence[str | Path] = ()) -> RunConfig:
    """The complete configuration of a stage.

    Args:
        stage: 0 to 3.
        preset: one of :func:`presets`.
        sets: assignments ``section.key=value``, values in YAML.
        files: YAML files with the same sections.

    Raises AnimaticError for an unknown preset, stage or key (naming the nearest valid one) and for values
    that do not fit.
    """
    if stage not in STAGES:
        raise AnimaticError(f"there is no stage {stage}: choose one of {', '.join(map(str, STAGES))}")
    layers = [*_preset_layers(stage, preset)]
    user = [_read_yaml(Path(file)) for file in files] + [_assignment(item) for item in sets]
    merged: dict[str, Any] = {"stage": stage, "preset": preset}
    given: dict[str, Any] = {}
    for layer in layers + user:
        check_names(RunConfig, layer)
        _merge(merged, layer)
    for layer in user:
        given |= flatten(layer)
    _fill(merged, stage_values(stage, merged), given)
    return validate(merged)


def validate(values: Mapping[str, Any]) -> RunConfig:
    """A configuration from nested values; AnimaticError in one line when they do not fit."""
    check_names(RunConfig, values)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise AnimaticError("invalid configuration: " + "; ".join(problems)) from error


def load(path: Path) -> RunConfig:
    """The configuration written by :func:`dump_yaml`."""
    return validate(_read_yaml(path))


def dump_yaml(config: RunConfig) -> str:
    """The resolved configuration; :func:`load` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_hash(config: RunConfig) -> str:
    """Digest of the recipe: everything but places, processes, trackers and validation samples."""
    return _digest(_recipe(config))


def trajectory_hash(config: RunConfig) -> str:
    """Digest of what decides each step's weights: the recipe without its length and bookkeeping.

    A run may resume from checkpoints with the same trajectory hash, for instance to train longer.
    """
    recipe = _recipe(config)
    for key in ("steps", "checkpoint_every", "keep_checkpoints", "log_every", "max_skipped", "bundle_dtype"):
        del recipe["train"][key]
    return _digest(recipe)


def _recipe(config: RunConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json", exclude={"launch", "tracking", "validation", "init"})
    # What is mixed, and how, is in the digest of the data.
    for name in ("dataset", "latents", "weight", "others", "threads", "max_failure_share", "cache"):
        del values["data"][name]
    # Settings that came later: at their defaults, earlier runs remain what they were.
    if config.data.selection == EVERYTHING:
        del values["data"]["selection"]
    if config.data.shuffle_shards == SHUFFLE_SHARDS:
        del values["data"]["shuffle_shards"]
    for name in ("target_fps", "short_clips", "flip"):
        if values["data"]["sampling"][name] == ClipSampling.model_fields[name].default:
            del values["data"]["sampling"][name]
    del values["model"]["encoders"]["path"], values["model"]["codec"]["path"]
    return values


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _preset_layers(stage: int, preset: str) -> list[dict[str, Any]]:
    path = PRESETS / f"{preset}.yaml"
    if not path.is_file():
        raise AnimaticError(f"there is no preset {preset!r}: choose one of {', '.join(presets())}")
    content = _read_yaml(path)
    return [content["base"], content["stages"].get(stage) or {}]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise AnimaticError(f"cannot read configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise AnimaticError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise AnimaticError(
            f"{path} must hold sections (model:, train:, ...), not a {type(content).__name__}"
        )
    return content


def _assignment(text: str) -> dict[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise AnimaticError(f"{text!r} is not an assignment: write section.key=value, as in train.steps=100")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise AnimaticError(f"the value in {text!r} is not valid YAML: quote it") from error
    for part in reversed(name.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _merge(target: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = json.loads(json.dumps(value)) if isinstance(value, Mapping) else value


def _fill(merged: dict[str, Any], values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Put what the stage decides in place; whoever asked for something else is told."""
    for name, value in values.items():
        if name in given and given[name] != value:
            raise AnimaticError(
                f"{name} cannot be {given[name]!r}: stage {merged['stage']} of this model makes it {value!r}"
            )
        *sections, key = name.split(".")
        target = merged
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
