"""Pipelines of diffusers with random weights, a few thousand each, stored as published ones are."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    I2VGenXLPipeline,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from diffusers.models.unets import I2VGenXLUNet
from open_clip.tokenizer import SimpleTokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)


def write_pipeline(name: str, folder: Path) -> Path:
    """The pipeline of a baseline, stored in ``folder`` with safetensors."""
    torch.manual_seed(0)
    pipelines = {"i2vgen-xl": _i2vgen_xl, "stable-video-diffusion": _stable_video_diffusion}
    pipelines[name]().save_pretrained(folder, safe_serialization=True)
    return folder


def _i2vgen_xl() -> DiffusionPipeline:
    unet = I2VGenXLUNet(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=4,
        attention_head_dim=4,
        num_attention_heads=None,
        norm_num_groups=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=2,
    )
    text = CLIPTextConfig(
        hidden_size=4, intermediate_size=8, num_attention_heads=2, num_hidden_layers=2, vocab_size=49408
    )
    return I2VGenXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=_tokenizer(),
        image_encoder=_image_encoder(4, size=32),
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32),
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
        ),
    )


def _stable_video_diffusion() -> DiffusionPipeline:
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        sample_size=8,
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=8,
        num_attention_heads=(2, 2),
        projection_class_embeddings_input_dim=24,
        addition_time_embed_dim=8,
        num_frames=5,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32), down_block_types=["DownEncoderBlock2D"] * 4, layers_per_block=1
    )
    return StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=_image_encoder(8, size=224),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            interpolation_type="linear",
            prediction_type="v_prediction",
            sigma_max=700.0,
            sigma_min=0.002,
            steps_offset=1,
            timestep_spacing="leading",
            timestep_type="continuous",
            use_karras_sigmas=True,
        ),
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32),
    )


def _image_encoder(width: int, size: int) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            projection_dim=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=size,
            intermediate_size=8,
            patch_size=size // 2,
        )
    )


def _tokenizer() -> CLIPTokenizer:
    """CLIP's own, from the vocabulary that open_clip packages."""
    packaged = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in packaged.encoder.items()}
    merges = list(packaged.bpe_ranks)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
