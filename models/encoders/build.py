"""The frame codec of an architecture."""

from models.architecture import CodecConfig
from models.encoders.codec import Codec
from models.encoders.conv_codec import ConvCodec
from models.encoders.dct_codec import DctCodec
from models.encoders.vae_codec import VaeCodec


def build_codec(config: CodecConfig, *, weights: bool = True) -> Codec:
    """Codec of the configured kind, its weights loaded.

    Args:
        weights: False reads no file: autoencoders have names and shapes alone, on the meta device.

    Raises:
        AnimaticError: where weights are missing or do not have the configured shapes.
    """
    if config.kind == "dct":
        return DctCodec(config)
    if config.kind == "conv":
        return ConvCodec(config, weights=weights)
    return VaeCodec(config, weights=weights)
