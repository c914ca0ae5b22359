"""Weight files of frozen models: only the requested tensors, in float32, every name and shape checked."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.errors import AnimaticError
from models.file_kind import SAFETENSORS, file_kind
from models.state_dict_diff import compare, shapes_of

# What torch.load raises for damaged files, besides UnpicklingError.
DAMAGED_PICKLE = (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError)


def weights_kind(path: Path, setting: str) -> str:
    """The kind of a weight file, as of :func:`models.file_kind.file_kind`.

    Args:
        setting: the configuration key that names the file, for the error.

    Raises:
        AnimaticError: where the file is missing or no weight file.
    """
    if not path.is_file():
        raise AnimaticError(f"no file at {path} ({setting})")
    try:
        return file_kind(path)
    except AnimaticError as error:
        raise AnimaticError(f"{setting}: {error}") from error


def file_keys(path: Path, setting: str) -> list[str]:
    """Names of the tensors in a safetensors file, whatever its name.

    Args:
        setting: the configuration key that names the file, for the error.

    Raises:
        AnimaticError: where the file is missing or not a safetensors file.
    """
    if weights_kind(path, setting) != SAFETENSORS:
        raise AnimaticError(
            f"{path} ({setting}) is no safetensors file; `animatic import-checkpoint` converts "
            "published checkpoints"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise AnimaticError(f"{path} ({setting}) is damaged or no safetensors file: {error}") from error


def read_tensors(path: Path, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of a .safetensors file in float32, renamed: ``names`` maps key in the file -> key returned."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(key).float() for key, name in names.items()}


def check_weights(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes.

    Raises:
        AnimaticError: listing the missing, unexpected and differently shaped tensors of ``where``.
    """
    diff = compare(shapes_of(found), shapes_of(wanted))
    if diff:
        raise AnimaticError(f"{where} does not have the weights of this architecture: {diff}")
