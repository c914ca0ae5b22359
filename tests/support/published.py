"""Small versions of the published checkpoints: the same parts and names, a few thousand weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.architecture import Architecture, CodecConfig, DiffusionConfig
from models.checkpoints import Variant
from models.checkpoints.schedule import schedule_buffers
from models.diffusion.settings import SamplingSettings
from tests.support.small_animator import small_architecture

EPSILON = DiffusionConfig(parameterization="eps", zero_terminal_snr=False)


def small_published_architecture(diffusion: DiffusionConfig = EPSILON, **unet: object) -> Architecture:
    """3 frames of 8x8 pixels, with the published kind of autoencoder."""
    base = small_architecture()
    config = base.unet.model_copy(update=unet)
    return base.model_copy(
        update={
            "unet": config,
            "context": base.context if config.image_cross_attention else None,
            "diffusion": diffusion,
            "codec": CodecConfig(width=32, channel_mult=(1, 1), res_blocks=1, patch=2),
        }
    )


def _variant(name: str, architecture: Architecture, *, stage: int = 3, complete: bool = True) -> Variant:
    sampling = SamplingSettings(steps=3, fps=5.0)
    return Variant(name, name, architecture, stage, preset="tiny", sampling=sampling, complete=complete)


SCALED = small_published_architecture(DiffusionConfig(base_scale=0.7), detail_guidance=True)
SMALL: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        _variant("gated", small_published_architecture(detail_guidance=True, learnable_gate=True)),
        _variant("scaled-0.7", SCALED),
        _variant(
            "scaled-0.3", small_published_architecture(DiffusionConfig(base_scale=0.3), detail_guidance=True)
        ),
        _variant("scaled-0.7-interp", SCALED),
        _variant("video", small_published_architecture(image_cross_attention=False), stage=0, complete=False),
        _variant(
            "image",
            small_published_architecture(image_cross_attention=False, temporal=False, fps_condition=False),
            stage=0,
            complete=False,
        ),
    )
}


def random_state(variant: Variant, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Tensors of every part, as a published file of the variant holds them."""
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(shape, generator=generator).to(dtype)
        for part in variant.layout().values()
        for key, shape in part.items()
    }
    return state | {
        key: value.to(dtype) for key, value in schedule_buffers(variant.architecture.diffusion).items()
    }


def legacy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with the frame-rate embedding's first name."""
    return {key.replace("fps_embedding", "framestride_embed"): value for key, value in state.items()}


def write(path: Path, state: Mapping[str, Tensor], container: str = "state_dict") -> Path:
    """A file of the published kinds; ``container`` is left out for safetensors."""
    if path.suffix == ".safetensors":
        save_file(dict(state), path)
    elif container == "module":
        torch.save({"module": {"_forward_module." + key: value for key, value in state.items()}}, path)
    else:
        torch.save({container: dict(state), "global_step": 3}, path)
    return path


def read(path: Path) -> dict[str, Tensor]:
    """An exported file's tensors, as the published code would load them."""
    if path.suffix == ".safetensors":
        return load_file(path)
    loaded = torch.load(path, weights_only=True)
    assert list(loaded) == ["state_dict"]
    return loaded["state_dict"]


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether keys, shapes, types and bytes agree."""
    return found.keys() == wanted.keys() and all(
        found[key].dtype == value.dtype
        and found[key].shape == value.shape
        and torch.equal(_bytes(found[key]), _bytes(value))
        for key, value in wanted.items()
    )


def _bytes(value: Tensor) -> Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)
