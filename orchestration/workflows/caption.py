"""Caption the clips of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.config.validation import configure
from orchestration.devices import actor_settings
from pipelines.caption import CaptionConfig, CaptionReport
from pipelines.caption import caption as run


@dataclass(frozen=True)
class CaptionOptions:
    """As the keys of :class:`CaptionConfig`; ``workers``: Ray actors, one for each GPU or core if None, 0 for
    none; ``gpus``: as many actors with one each."""

    dataset: str
    model: Path
    name: str | None = None
    prompt: str | None = None
    frames: int | None = None
    short_side: int = 512
    only_missing: bool = False
    max_new_tokens: int = 64
    max_characters: int = 1000
    beams: int = 1
    batch: int | None = None
    dtype: str | None = None
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None


def prepare_caption(options: CaptionOptions) -> CaptionConfig:
    """Resolve the configuration.

    Raises:
        AnimaticError: a value does not fit.
    """
    values = {
        **{name: getattr(options, name) for name in CaptionConfig.model_fields if hasattr(options, name)},
        "model": str(options.model),
        **actor_settings(options.workers, options.gpus, options.address),
    }
    config = configure(CaptionConfig, values=values)
    _ = config.column
    return config


def caption(config: CaptionConfig, on_progress: Callable[[int, int], None]) -> CaptionReport:
    """Caption what is missing; ``on_progress`` gets (samples done, samples).

    Raises:
        AnimaticError: the dataset or the model cannot be read, or a setting does not fit the model.
    """
    return run(config, on_progress)
