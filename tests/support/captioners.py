"""Tiny image- and video-text models of transformers with random weights, in folders as published ones are."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

WORDS = [
    "a",
    "dog",
    "cat",
    "bird",
    "runs",
    "sits",
    "on",
    "the",
    "grass",
    "red",
    "blue",
    "square",
    "moves",
    "left",
    "right",
    "up",
    "down",
    "of",
    "and",
    ".",
    "describe",
]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
SIDE = 32
_SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_SIGHT = {**_SMALL, "image_size": SIDE, "patch_size": 16}
_ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_MARKS = ("<|image_pad|>", "<|video_pad|>", "<start>", "<end>")
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<start><|video_pad|><end>"
    "{% elif part['type'] == 'image' %}<start><|image_pad|><end>"
    "{% else %} {{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)


def _tokenizer(extra: Sequence[str] = ()):
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: n for n, token in enumerate([*SPECIAL, *extra, *WORDS])}
    content = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(content, file)
        file.flush()
        return PreTrainedTokenizerFast(
            tokenizer_file=file.name, additional_special_tokens=list(extra), **names
        )


def write_blip(folder: Path, seed: int = 0) -> Path:
    """BLIP: one picture, which continues a prompt."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    tokenizer = _tokenizer()
    text = {**_SMALL, **_ENDS, "vocab_size": len(tokenizer), "encoder_hidden_size": 16, "sep_token_id": 2}
    config = BlipConfig(text_config={**text, "max_position_embeddings": 64}, vision_config=_SIGHT)
    torch.manual_seed(seed)
    model = _awake(BlipForConditionalGeneration(config))
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[: len(SPECIAL)] = -1000  # it always writes words
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer).save_pretrained(folder)
    return folder


def write_git(folder: Path, frames: int | None = None) -> Path:
    """GIT: one picture, or with ``frames`` a video of so many."""
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    tokenizer = _tokenizer()
    config = GitConfig(
        vision_config=_SIGHT,
        vocab_size=len(tokenizer),
        num_image_with_embedding=frames,
        **_SMALL,
        **_ENDS,
    )
    torch.manual_seed(0)
    _awake(GitForCausalLM(config)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    GitProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def write_vit_gpt2(folder: Path) -> Path:
    """An image encoder beside a text decoder."""
    from transformers import GPT2Config, GPT2LMHeadModel, ViTConfig, ViTImageProcessor, ViTModel
    from transformers import VisionEncoderDecoderModel as Model

    tokenizer = _tokenizer()
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        add_cross_attention=True,
        is_decoder=True,
        **_ENDS,
    )
    torch.manual_seed(0)
    model = Model(encoder=ViTModel(ViTConfig(**_SIGHT)), decoder=GPT2LMHeadModel(decoder))
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id, settings.eos_token_id = 1, 0, 2
    _awake(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def write_qwen2_vl(folder: Path) -> Path:
    """Qwen2-VL: a chat about videos or pictures."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    tokenizer = _tokenizer((*_MARKS, "<answer>"))
    image, video, start, end = (tokenizer.convert_tokens_to_ids(mark) for mark in _MARKS)
    sizes = {"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2}
    pixels = {"min_pixels": 64, "max_pixels": 1024}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config={
            **_SMALL,
            **_ENDS,
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 1,
            "rope_parameters": rope,
        },
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 1,
            "patch_size": 4,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    torch.manual_seed(0)
    _awake(Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    Qwen2VLProcessor(
        Qwen2VLImageProcessor(**sizes, **pixels),
        tokenizer,
        Qwen2VLVideoProcessor(**sizes, **pixels),
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "blip": write_blip,
    "git": write_git,
    "git-video": lambda folder: write_git(folder, frames=3),
    "vit-gpt2": write_vit_gpt2,
    "qwen2-vl": write_qwen2_vl,
}


def _awake(model: torch.nn.Module):
    """The model with weights so large that what it writes depends on what it sees."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.5)
    return model.eval()
