"""The frozen parts of a model that its bundle may lack: autoencoder and encoders, read from paths then."""

from pathlib import Path

from models.architecture import Architecture
from models.bundle.info import INFO, WEIGHTS


def with_paths(architecture: Architecture, codec: str | None, encoders: str | None) -> Architecture:
    """The architecture with other paths of its frozen parts; None keeps a path.

    Args:
        codec, encoders: as ``codec.path`` and ``encoders.path``, or the folder of a bundle that has the part.
    """
    if codec is not None:
        own = architecture.codec.model_copy(update={"path": _weights(codec)})
        architecture = architecture.model_copy(update={"codec": own})
    if encoders is not None:
        towers = architecture.encoders.model_copy(update={"path": _weights(encoders)})
        architecture = architecture.model_copy(update={"encoders": towers})
    return architecture


def missing_parts(architecture: Architecture) -> list[str]:
    """What an animator of this architecture cannot be built without, in words: unset and dead paths."""
    codec, encoders = architecture.codec, architecture.encoders
    parts = (
        ("the autoencoder", codec.kind == "vae", codec.path),
        ("the text and image encoders", encoders.kind == "open_clip", encoders.path),
    )
    return [
        name if path is None else f"{name} ({path} does not exist)"
        for name, needed, path in parts
        if needed and (path is None or not Path(path).exists())
    ]


def _weights(path: str) -> str:
    return str(Path(path) / WEIGHTS) if (Path(path) / INFO).is_file() else path
