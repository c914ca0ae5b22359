"""Tiny extractors with random weights, in the files and layouts of the published ones."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

FRAMES = 4
DIMENSION = 6


class TinyI3d(nn.Module):
    """The signature of StyleGAN-V's I3D: [n 3 t h w], 0 to 255 with ``rescale`` → [n d].

    Asked for anything but its three options, it fails, as does the use of values beyond 255.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(3, DIMENSION, 2)

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        assert rescale and resize and return_features
        assert x.max() > 1.5 and x.max() <= 255
        return self.convolution(x / 127.5 - 1).mean(dim=[2, 3, 4])


class TinyEmbedding(nn.Module):
    """The signature of DreamSim's ``embed``: [n 3 224 224] in [0, 1] → [n d]."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 14 * 14, DIMENSION)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3 and x.shape[2] == 224 and x.shape[3] == 224
        assert x.min() >= 0 and x.max() <= 1
        return self.project(nn.functional.avg_pool2d(x, 16).flatten(1))


def write_script(module: nn.Module, path: Path) -> Path:
    """Save a module as TorchScript, with weights drawn from a fixed seed."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        torch.jit.script(module.eval()).save(path)
    return path


def write_i3d(path: Path) -> Path:
    """A file for ``--extractor i3d=PATH``."""
    return write_script(TinyI3d(), path)


def write_dreamsim(path: Path) -> Path:
    """A file for ``--extractor dreamsim=PATH``."""
    return write_script(TinyEmbedding(), path)


def write_videomae(folder: Path, *, fine_tuned: bool = False, frames: int = FRAMES) -> Path:
    """A folder for ``--extractor videomae=PATH``."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEModel

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=16,
        patch_size=8,
        num_frames=frames,
        tubelet_size=2,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        use_mean_pooling=fine_tuned,
        num_labels=3,
        initializer_range=0.5,
    )
    (VideoMAEForVideoClassification if fine_tuned else VideoMAEModel)(config).save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """A folder for ``--extractor clip=PATH``."""
    import open_clip
    from safetensors.torch import save_file

    structure = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(0)
    folder.mkdir()
    state = open_clip.CLIP(**structure).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors"
    )
    preprocessing = {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "resize_mode": "squash",
        "interpolation": "bicubic",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": structure, "preprocess_cfg": preprocessing})
    )
    return folder
