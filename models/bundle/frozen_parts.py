"""The frozen parts of a model that its bundle may lack: autoencoder and encoders, read from paths then."""

from pathlib import Path

from core.errors import AnimaticError
from models.architecture import Architecture
from models.bundle.info import INFO, WEIGHTS
from models.file_kind import file_kind


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
    """What an animator of this architecture cannot be built without, in words: unset paths and unusable ones.

    Files are recognised by their first bytes, so this takes no time.
    """
    codec, encoders = architecture.codec, architecture.encoders
    # Without a path, a small autoencoder is the one that ships with the code.
    needs_codec = codec.kind == "vae" or (codec.kind == "conv" and codec.path is not None)
    parts = (
        ("the autoencoder", needs_codec, codec.path, codec.kind == "vae"),
        ("the text and image encoders", encoders.kind == "open_clip", encoders.path, False),
    )
    problems = {
        name: "" if path is None else _problem(Path(path), folders=folders)
        for name, needed, path, folders in parts
        if needed
    }
    return [
        f"{name} ({problem})" if problem else name
        for name, problem in problems.items()
        if problem is not None
    ]


def _problem(path: Path, *, folders: bool) -> str | None:
    """Why no weights can be read from a path; ``folders``: whether it may be a folder."""
    if not path.exists():
        return f"{path} does not exist"
    if folders and path.is_dir():
        return None
    try:
        file_kind(path)
    except AnimaticError as error:
        return str(error)
    return None


def _weights(path: str) -> str:
    return str(Path(path) / WEIGHTS) if (Path(path) / INFO).is_file() else path
