"""The text encoder and its tokenizer, for transformers' CLIPTextModel and CLIPTokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.checkpoints.diffusers import clip_names
from models.checkpoints.diffusers.part import (
    TRANSFORMERS_WEIGHTS,
    Part,
    check_tensors,
    write_config,
    write_tensors,
)
from models.encoders.captions import clip_tokenizer

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from transformers import CLIPTextConfig, CLIPTokenizer

FOLDER, TOKENIZER = "text_encoder", "tokenizer"
_READER = "transformers.CLIPTextModel"
# open_clip pads with token 0, which is the exclamation mark. A padding token of the tokenizer's is special
# everywhere, so that "!" in a prompt would be read as padding (as by Stable Diffusion 2's tokenizer): padding
# has a token of its own here, with the same embedding.
_PADDING = "<|pad|>"
_SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


def text_state(clip: "CLIP") -> dict[str, Tensor]:
    """The tensors of ``CLIPTextModel`` whose ``last_hidden_state`` is our text context.

    As in Stable Diffusion 2, the last layer is left out: what remains ends in the penultimate layer, followed
    by the final norm.

    Raises:
        AnimaticError: the tower is not built as the published CLIP models.
    """
    from transformers import CLIPTextModel

    state = clip_names.text_tensors(clip.state_dict(), _layers(clip))
    embedding = "text_model.embeddings.token_embedding.weight"
    if embedding in state:
        state[embedding] = torch.cat([state[embedding], state[embedding][:1]])
    with torch.device("meta"):
        wanted = CLIPTextModel(_config(clip)).state_dict()
    # Only older versions of transformers name the text model in its keys; all of them read both.
    named = {clip_names.TEXT + key.removeprefix(clip_names.TEXT): value for key, value in wanted.items()}
    check_tensors("text encoder", state, named, _READER)
    return state


def write_text_encoder(clip: "CLIP", folder: Path) -> list[Part]:
    """Write ``text_encoder`` and ``tokenizer`` below ``folder``."""
    write_tensors(folder / FOLDER / TRANSFORMERS_WEIGHTS, text_state(clip))
    write_config(folder / FOLDER / "config.json", _config(clip), _READER)
    _tokenizer(clip.context_length).save_pretrained(folder / TOKENIZER)
    return [
        Part(
            FOLDER,
            _READER,
            "`last_hidden_state` is the text context: CLIP's penultimate layer through the final norm, as in "
            "Stable Diffusion 2 (the last layer is left out). Give it `input_ids` alone, no attention mask.",
        ),
        Part(
            TOKENIZER,
            "transformers.CLIPTokenizer",
            'Use `padding="max_length"` and `truncation=True`. Broken Unicode and HTML entities in a prompt '
            "are read as they are, where animatic repairs them first.",
        ),
    ]


def _layers(clip: "CLIP") -> int:
    return max(len(clip.transformer.resblocks) - 1, 1)


def _config(clip: "CLIP") -> "CLIPTextConfig":
    from transformers import CLIPTextConfig

    tokenizer = clip_tokenizer()
    vocabulary, width = clip.token_embedding.weight.shape
    if vocabulary != tokenizer.vocab_size or clip.attn_mask is None:
        raise AnimaticError(
            "the text encoder has another vocabulary or attention than the published CLIP models, which the "
            "format diffusers cannot express"
        )
    block = clip.transformer.resblocks[0]
    return CLIPTextConfig(
        vocab_size=vocabulary + 1,
        hidden_size=width,
        intermediate_size=block.mlp.c_fc.out_features,
        projection_dim=width,
        num_hidden_layers=_layers(clip),
        num_attention_heads=block.attn.num_heads,
        max_position_embeddings=clip.context_length,
        hidden_act=clip_names.activation(block, "text"),
        layer_norm_eps=block.ln_1.eps,
        bos_token_id=tokenizer.sot_token_id,
        eos_token_id=tokenizer.eot_token_id,
        pad_token_id=vocabulary,
    )


def _tokenizer(length: int) -> "CLIPTokenizer":
    from transformers import CLIPTokenizer

    own = clip_tokenizer()
    vocabulary = {_SPECIAL.get(token, token): number for token, number in own.encoder.items()}
    return CLIPTokenizer(
        vocab={**vocabulary, _PADDING: own.vocab_size},
        merges=list(own.bpe_ranks),
        pad_token=_PADDING,
        model_max_length=length,
    )
