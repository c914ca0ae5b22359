"""The golden format, read strictly: an unknown key is an error."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.errors import AnimaticError
from models import public_keys

Shapes = dict[str, tuple[int, ...]]


class Section(BaseModel):
    """Unknown keys are rejected: they may change the meaning of the numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UNetSection(Section):
    """Arguments of the published UNet; the literal ones are the only values that a checkpoint has."""

    in_channels: int
    out_channels: int
    model_channels: int
    attention_resolutions: tuple[int, ...]
    num_res_blocks: int
    channel_mult: tuple[int, ...]
    num_head_channels: int
    context_dim: int
    default_fs: int = 4
    fs_condition: bool = False
    image_cross_attention_scale_learnable: bool = False
    temporal_length: int | None = None
    dropout: float = 0.0
    use_checkpoint: bool = False
    transformer_depth: int = 1
    use_linear: Literal[True] = True
    temporal_conv: Literal[True] = True
    temporal_attention: Literal[True] = True
    temporal_selfatt_only: Literal[True] = True
    use_relative_position: Literal[False] = False
    use_causal_attention: Literal[False] = False
    addition_attention: Literal[True] = True
    image_cross_attention: Literal[True] = True

    @model_validator(mode="after")
    def _condition_is_a_latent(self) -> Self:
        if self.in_channels not in (self.out_channels, 2 * self.out_channels):
            raise ValueError(f"in_channels {self.in_channels} is neither once nor twice out_channels")
        return self


class ResamplerSection(Section):
    """Arguments of the published query transformer."""

    dim: int
    depth: int
    dim_head: int
    heads: int
    num_queries: int
    embedding_dim: int
    output_dim: int
    ff_mult: int
    video_length: int


class VaeSection(Section):
    """Arguments of the published autoencoder, which has attention at the coarsest level alone."""

    z_channels: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    resolution: int | None = None
    double_z: Literal[True] = True
    in_channels: Literal[3] = 3
    out_ch: Literal[3] = 3
    attn_resolutions: tuple[int, ...] = Field((), max_length=0)
    dropout: float = 0.0


class SamplerSection(Section):
    """DDIM settings; eta above 0 would need noise that no case defines."""

    steps: int = Field(ge=1, le=1000)
    eta: float = Field(ge=0, le=0)
    spacing: Literal["uniform", "uniform_trailing"]
    text_guidance: float = Field(ge=0)
    image_guidance: float = Field(ge=0)
    guidance_rescale: float = Field(ge=0, le=1)


class VideoCase(Section):
    """UNet, query transformer, autoencoder, objective, sampler and schedule."""

    case: str
    batch: int = Field(gt=0)
    frames: int = Field(gt=0)
    latent_hw: tuple[int, int]
    unet: UNetSection
    resampler: ResamplerSection
    vae: VaeSection | None = None
    parameterization: Literal["eps", "v"]
    zero_terminal_snr: bool
    base_scale: float | None
    linear_start: float
    linear_end: float
    t: tuple[Annotated[int, Field(ge=0, lt=1000)], ...]
    fs: tuple[int, ...]
    mode: Literal["i2v", "interp"]
    conditioning_frame: int | None
    ddim: SamplerSection
    grad_norm: dict[str, float] = {}
    parameters: Shapes

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if len(self.t) != self.batch or len(self.fs) != self.batch:
            raise ValueError(f"batch is {self.batch}, but t has {len(self.t)} and fs {len(self.fs)} values")
        if self.mode == "i2v" and self.conditioning_frame not in range(self.frames):
            raise ValueError(f"mode i2v needs a conditioning_frame below frames ({self.frames})")
        trained = {key for key in self.parameters if not key.startswith(public_keys.AUTOENCODER)}
        unknown = self.grad_norm.keys() - trained
        if unknown:
            raise ValueError(f"grad_norm of {min(unknown)}, no parameter of UNet or query transformer")
        return self


class ClipCase(Section):
    """OpenCLIP towers, preprocessing and tokeniser."""

    case: str
    embed_dim: int
    vision_cfg: dict[str, Any]
    text_cfg: dict[str, Any]
    prompts: list[str]
    image_formula: str
    weight_key_prefix: str
    parameters: Shapes


def read_case(path: Path) -> tuple[VideoCase | ClipCase, dict[str, Tensor]]:
    """A case and its expected outputs by name, from ``NAME.json`` and ``NAME.safetensors`` beside it.

    Raises:
        AnimaticError: where one is missing, damaged, or has a key that this tool does not know.
    """
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise AnimaticError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise AnimaticError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AnimaticError(f"{path} is no case: it is a {type(document).__name__}, not an object")
    kind: type[VideoCase | ClipCase] = ClipCase if "vision_cfg" in document else VideoCase
    try:
        case = kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the case"
        raise AnimaticError(f"{path}: {where}: {first['msg']}, got {first['input']!r:.60}") from error
    return case, _expected(path.with_suffix(".safetensors"))


def _expected(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise AnimaticError(f"the expected outputs are missing: {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise AnimaticError(f"{path} is damaged or no safetensors file: {error}") from error
