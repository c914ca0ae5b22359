"""Digests of encoder weights, by which latents and scores record the encoders that computed them."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from models.encoders.clip import ClipEncoders
    from models.encoders.codec import Codec


def codec_digest(codec: "Codec") -> str:
    """Digest of what decides a codec's posterior; its decoder does not count."""
    return tensors_digest(codec.encoding())


def text_digest(encoders: "ClipEncoders") -> str:
    """Digest of what decides the text features."""
    parts = ("token_embedding", "positional_embedding", "transformer", "ln_final")
    return tensors_digest({n: x for n, x in encoders.clip.state_dict().items() if n.startswith(parts)})


def tensors_digest(tensors: Mapping[str, "Tensor"]) -> str:
    """sha256 of names, shapes and values in float32."""
    hashed = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        hashed.update(f"{name} {tuple(value.shape)}\n".encode())
        hashed.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return hashed.hexdigest()
