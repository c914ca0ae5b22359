"""Options of ``animatic train`` → the resolved request: what the stage needs is found, or the error says how
to create it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.disk_errors import real_path
from orchestration.devices import default_preset, processors
from orchestration.registry import newest_folder
from orchestration.signatures import open_trusted
from orchestration.workflows.absolute_paths import with_absolute_paths
from orchestration.workflows.attempts import Attempts
from orchestration.workspace import Workspace
from training.config import RunConfig, config_hash, resolve
from training.initialisation import SourceBundles, open_source_bundles, parent_stage
from training.stages import STAGES

_NAME_CHARS = 60


@dataclass(frozen=True)
class TrainOptions:
    """What the user asked for; everything but the stage may be left open.

    ``values``: settings by dotted name, used as they are; ``sets``: assignments ``section.key=value`` with
    values in YAML, which win over all others; ``data``, ``address``, ``gpus`` and ``profile`` are settings
    with a name of their own. ``run_dir``: if None, named after the run's folder in a store, or preset, stage
    and inputs.
    """

    stage: int
    preset: str | None = None
    sets: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    data: str | None = None
    address: str | None = None
    gpus: int | None = None
    run_dir: Path | None = None
    profile: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainRequest:
    """A run that can start: configuration, folder, opened and verified bundles, digest of the data.

    ``taken_down``: digests that the data had before videos were taken down, and the date of that.
    """

    config: RunConfig
    run_dir: Path
    sources: SourceBundles
    dataset_digest: str
    taken_down: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The stage in words."""
        return f"stage {self.config.stage} {STAGES[self.config.stage].name}"


def resolve_config(options: TrainOptions) -> RunConfig:
    """The configuration as far as the options decide it.

    Raises:
        AnimaticError: an unknown preset or key, or a value that does not fit.
    """
    preset = options.preset or default_preset()
    return resolve(options.stage, preset, options.sets, options.files, _values(options))


def with_dataset(options: TrainOptions, workspace: Workspace) -> TrainOptions:
    """The options, with the newest dataset where neither they nor the preset name one.

    Raises:
        AnimaticError: as :func:`resolve_config`, or the workspace has no dataset.
    """
    if resolve_config(options).data.dataset is not None:
        return options
    return replace(options, data=workspace.dataset(None))


def with_parent(options: TrainOptions, workspace: Workspace) -> TrainOptions:
    """The options, with the newest accepted parent where the stage needs one and none is named.

    Raises:
        AnimaticError: as :func:`resolve_config`, or the ledger lists no parent; the message names the command
            that trains it.
    """
    config = resolve_config(options)
    stage = parent_stage(config)
    if stage is None or config.init.parent is not None:
        return options
    parent = str(workspace.parent_bundle(stage, config.preset))
    return replace(options, values={**options.values, "init.parent": parent})


def complete_config(options: TrainOptions, workspace: Workspace) -> RunConfig:
    """The configuration with which any process can train the run, in any working folder.

    Dataset and parent are found as by :func:`prepare_training`; one that does not exist yet is left out.

    Raises:
        AnimaticError: as :func:`resolve_config`.
    """
    if workspace.newest_dataset() is not None:
        options = with_dataset(options, workspace)
    config = resolve_config(options)
    stage = parent_stage(config)
    if stage is not None and newest_folder(workspace.ledger, stage, config.preset) is not None:
        options = with_parent(options, workspace)
    return with_absolute_paths(resolve_config(options))


def prepare_training(options: TrainOptions, workspace: Workspace) -> TrainRequest:
    """Find, open and verify data, base and parent, each once, and plan the network that training begins with.

    Raises:
        AnimaticError: something the stage needs is missing or damaged; the message says how to create it. It
            names all that is. Or the stage's network cannot begin with these bundles' weights.
    """
    config, attempts = _with_inputs(options, workspace), Attempts()
    from training.batch_source import DatasetSource

    sources = attempts.attempt(lambda: open_source_bundles(config, opening=open_trusted))
    source = attempts.attempt(lambda: DatasetSource(config))
    continued = attempts.attempt(lambda: _continued(config))
    attempts.raise_any()
    assert sources is not None and source is not None  # otherwise an error was raised
    _check_network(config, sources)
    inputs = [source.digest, *(bundle.id for bundle in sources if bundle)]
    inputs += [continued] if continued else []
    run_dir = options.run_dir or _default_run_dir(workspace, config, inputs)
    return TrainRequest(config, real_path(run_dir), sources, source.digest, source.taken_down)


def _check_network(config: RunConfig, sources: SourceBundles) -> None:
    """Refuse here what each process of the run would refuse after its start."""
    from training.initialisation import plan_transfers
    from training.trainable import trainable_names

    trainable_names(config, list(plan_transfers(config, sources)))


def _continued(config: RunConfig) -> str | None:
    """The digest of the checkpoint that the run continues, if any. Raises AnimaticError for a damaged one."""
    if config.init.checkpoint is None:
        return None
    from training.continuation import find_continuation

    continuation = find_continuation(config)
    return continuation.digest if continuation else None


def _with_inputs(options: TrainOptions, workspace: Workspace) -> RunConfig:
    """The configuration with dataset and parent. Raises AnimaticError that names each that is missing."""
    resolve_config(options)
    attempts = Attempts()
    found = attempts.attempt(lambda: with_parent(options, workspace)) or options
    complete = attempts.attempt(lambda: with_dataset(found, workspace))
    attempts.raise_any()
    return resolve_config(complete or found)


def _default_run_dir(workspace: Workspace, config: RunConfig, inputs: Sequence[str]) -> Path:
    """The folder depends on recipe, data, bundles and a continued checkpoint: the same command finds the same
    run again, and a new parent or dataset gets a new one. ``inputs``: the digests of all but the recipe.

    A run with a folder in a store has the same name on every machine."""
    if config.upload.url is not None:
        return workspace.root / name_after(config.upload.url)
    digest = hashlib.sha256("\n".join([config_hash(config), *inputs]).encode()).hexdigest()[:8]
    return workspace.root / f"{config.preset}-stage{config.stage}-{digest}"


def name_after(url: str) -> str:
    """A file name for what a URL contains, different for every URL."""
    url = url.rstrip("/")
    last = re.sub(r"[^\w.-]+", "-", url.rpartition("/")[2])[:_NAME_CHARS]
    return f"{last}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _values(options: TrainOptions) -> dict[str, object]:
    """The options that are settings, as values: text from the user is never parsed as YAML here."""
    values: dict[str, object] = {}
    gpus = processors().gpus if options.gpus is None and options.address is None else options.gpus
    if gpus:
        values |= {"launch.workers": gpus, "launch.gpus_per_worker": 1}
    elif options.gpus == 0:
        values["launch.gpus_per_worker"] = 0
    if options.address is not None:
        values["launch.address"] = options.address
    if options.data is not None:
        values["data.dataset"] = options.data
    if options.profile is not None:
        values["observe.profile"] = options.profile
    return values | dict(options.values)
