"""Weight files of frozen models: only the requested tensors, in float32, every name and shape checked."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.errors import AnimaticError
from models.state_dict_diff import compare, shapes_of

# Suffixes of files that torch.save wrote.
PICKLES = {".bin", ".ckpt", ".pt", ".pth"}
# What torch.load raises for damaged files, besides UnpicklingError.
DAMAGED_PICKLE = (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError)


def file_keys(path: Path, setting: str) -> list[str]:
    """Names of the tensors in a .safetensors file.

    Args:
        setting: the configuration key that names the file, for the error.

    Raises:
        AnimaticError: where the file is missing or not a safetensors file.
    """
    if not path.is_file():
        raise AnimaticError(f"no file at {path} ({setting})")
    if path.suffix != ".safetensors":
        raise AnimaticError(
            f"{path} ({setting}) is no .safetensors file; `animatic import-checkpoint` converts "
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
