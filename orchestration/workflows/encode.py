"""Store the latents of a dataset's clips, so that training does not encode them at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.config.validation import configure
from core.errors import AnimaticError
from models.architecture import Architecture
from orchestration.devices import actor_settings, default_preset, preset_for
from orchestration.registry import named_bundle
from orchestration.workspace import Workspace
from pipelines.encode import EncodeConfig, EncodeReport
from pipelines.encode import encode as run
from training.config import resolve


@dataclass(frozen=True)
class EncodeOptions:
    """Size and codec come from ``bundle`` (a folder, an id or an alias), or from ``preset`` with ``sets``.

    ``stills``: only the condition frames, which is all that stage 1 needs; ``text``: text features too;
    ``precision`` of the codec; ``workers``: Ray actors, one for each GPU or core if None, 0 for none;
    ``gpus``: as many actors with one each.
    """

    dataset: str
    output: str
    preset: str | None = None
    bundle: str | None = None
    sets: tuple[str, ...] = ()
    stills: bool = False
    text: bool = False
    precision: str = "float32"
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None


def prepare_encode(options: EncodeOptions, workspace: Workspace) -> EncodeConfig:
    """Resolve the configuration.

    Raises:
        AnimaticError: options that contradict each other, a damaged bundle, or a value that does not fit.
    """
    model = _architecture(options, workspace)
    values = {
        "dataset": options.dataset,
        "output": options.output,
        "height": model.height,
        "width": model.width,
        "codec": model.codec,
        "encoders": model.encoders if options.text else None,
        "clips": not options.stills,
        "precision": options.precision,
        **actor_settings(options.workers, options.gpus, options.address),
    }
    return configure(EncodeConfig, values=values)


def encode(config: EncodeConfig, on_progress: Callable[[int, int], None]) -> EncodeReport:
    """Encode what is missing; ``on_progress`` gets (samples done, samples).

    Raises:
        AnimaticError: the dataset cannot be read, or the output contains other latents.
    """
    return run(config, on_progress)


def _architecture(options: EncodeOptions, workspace: Workspace) -> Architecture:
    if options.bundle is None:
        preset = options.preset or (default_preset() if options.gpus is None else preset_for(options.gpus))
        return resolve(3, preset, options.sets).model
    if options.preset is not None or options.sets:
        raise AnimaticError("--bundle decides size and codec: leave out --preset and --set")
    return named_bundle(workspace.ledger, options.bundle).complete_architecture()
