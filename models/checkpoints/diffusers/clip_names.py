"""open_clip's tensors under the names of transformers' CLIP, in its shapes."""

import re
from collections.abc import Mapping

from open_clip.model import QuickGELU
from torch import Tensor, nn

from core.errors import AnimaticError

TEXT, IMAGE = "text_model.", "vision_model."
_LAYERS = "encoder.layers."
_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_IMAGE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    # The spelling is transformers' own.
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
# Our features are read before the projection to the space that text and images share.
_UNUSED_TEXT = ("text_projection", "logit_scale", "logit_bias")


def text_tensors(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The text tower of open_clip's model, with its first ``layers`` layers, for ``CLIPTextModel``."""
    own = {
        key: value
        for key, value in state.items()
        if not key.startswith(("visual.", *_UNUSED_TEXT)) and _layer_of(key) < layers
    }
    return {TEXT + name: value for name, value in _renamed(own, _TEXT).items()}


def image_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower of open_clip's model, for ``CLIPVisionModelWithProjection``."""
    own = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    projection = own.pop("proj", None)
    renamed = {IMAGE + name: value for name, value in _renamed(own, _IMAGE).items()}
    return renamed if projection is None else renamed | {"visual_projection.weight": projection.T}


def activation(block: nn.Module, tower: str) -> str:
    """transformers' name of the activation in a block of open_clip's transformer.

    Raises:
        AnimaticError: where it is another than those of the published CLIP models.
    """
    function = block.get_submodule("mlp.gelu")
    if isinstance(function, QuickGELU):
        return "quick_gelu"
    if type(function) is nn.GELU and function.approximate == "none":
        return "gelu"
    raise AnimaticError(
        f"the {tower} encoder has the activation {function}, which the format diffusers cannot express"
    )


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors outside of layers by ``names``; those that no name is known for keep theirs."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", key)
        if found is None:
            renamed[names.get(key, key)] = value
        else:
            layer = _layer_tensors(found[2], value)
            renamed |= {f"{_LAYERS}{found[1]}.{name}": part for name, part in layer.items()}
    return renamed


def _layer_tensors(name: str, value: Tensor) -> dict[str, Tensor]:
    """open_clip projects to queries, keys and values with one matrix, transformers with three."""
    if name in ("attn.in_proj_weight", "attn.in_proj_bias"):
        leaf = name.rpartition("_")[2]
        parts = zip("qkv", value.chunk(3), strict=True)
        return {f"self_attn.{letter}_proj.{leaf}": part for letter, part in parts}
    module, _, leaf = name.rpartition(".")
    return {f"{_LAYER.get(module, module)}.{leaf}": value}


def _layer_of(key: str) -> int:
    found = re.match(r"transformer\.resblocks\.(\d+)\.", key)
    return int(found[1]) if found else -1
