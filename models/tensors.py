"""Tensors on their way into a file."""

from collections.abc import Mapping

from torch import Tensor


def separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each contiguous and alone in its storage, as safetensors demands.

    Copies only those that are not; tensors mapped from a file stay in the file.
    """
    seen: set[int] = set()
    separated = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        whole = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes
        if not whole or storage.data_ptr() in seen:
            tensor = tensor.clone().contiguous()
        elif tensor.nbytes:
            seen.add(storage.data_ptr())
        separated[name] = tensor
    return separated
