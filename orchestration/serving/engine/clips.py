"""The device's part of a batch: pictures in, frames out, exactly as ``animatic animate`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from core.errors import AnimaticError
from models.diffusion.settings import SamplingSettings, problem_of
from orchestration.serving.engine.interface import LoadedModel
from orchestration.serving.jobs import JobSpec, StoredPicture
from orchestration.serving.results import Results

if TYPE_CHECKING:
    from torch import Tensor

    from models.diffusion.sampler import Keep

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Pictures:
    """The pictures of one job at the size of the network: (1 3 h w), in [-1, 1]."""

    first: Tensor
    last: Tensor | None


def open_pictures(results: Results, spec: JobSpec, height: int, width: int) -> Pictures:
    """The pictures of a job.

    Raises:
        AnimaticError: one cannot be read as a picture.
        StoreError: the results store does not have it, or does not answer.
    """
    first, last = [
        None if stored is None else _open(results, stored, height, width)
        for stored in (spec.first, spec.last)
    ]
    assert first is not None
    return Pictures(first, last)


def settings_of(model: LoadedModel, spec: JobSpec, precision: Precision | None) -> SamplingSettings:
    """What to sample with: the job's choices, over the bundle's own settings.

    Raises AnimaticError where a model, of a later version than at acceptance, records settings that the job's
    contradict.
    """
    chosen = spec.sampling.model_dump(exclude_none=True) | {"seed": spec.seed}
    if precision is not None:
        chosen["precision"] = precision
    try:
        return model.exported.sampling.changed(**chosen)
    except ValidationError as error:
        raise AnimaticError(f"{model.name} has other settings now: {problem_of(error)}") from error


def check_size(model: LoadedModel, spec: JobSpec) -> None:
    """Raise AnimaticError where a model, perhaps of a later version than at acceptance, has another size."""
    made = (model.animator.architecture.width, model.animator.architecture.height)
    if spec.size is not None and spec.size != made:
        raise AnimaticError(
            f"size is {_text(spec.size)}, but {model.name} makes clips of {_text(made)} now: ask for that "
            "size, or for none"
        )


def sample(
    model: LoadedModel,
    specs: Sequence[JobSpec],
    pictures: Sequence[Pictures],
    settings: SamplingSettings,
    keep: Keep,
) -> Tensor:
    """Latents (b c t h w) of the clips that ``keep`` has not dropped; the specs are of one shape."""
    import torch

    from models.animate import noise_seeds, sample_latents

    lasts = [each.last for each in pictures if each.last is not None]
    return sample_latents(
        model.animator,
        torch.cat([each.first for each in pictures]),
        [spec.prompt for spec in specs],
        settings,
        mode=specs[0].mode,
        last=torch.cat(lasts) if lasts else None,
        frames=specs[0].frames,
        seeds=[seed for spec in specs for seed in noise_seeds(spec.seed)],
        keep=keep,
    )


def _open(results: Results, stored: StoredPicture, height: int, width: int) -> Tensor:
    from orchestration.pictures import open_picture, to_tensor

    # Limits were checked at acceptance, which may have been before they changed.
    return to_tensor(open_picture(results.read(stored.name), name="the picture"), height, width)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
