"""Preparing tensors for safetensors files."""

from collections.abc import Mapping

from torch import Tensor


def separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each contiguous and alone in its storage, as safetensors demands.

    Copies only those that are not; tensors mapped from a file stay in the file.
    """
    storages: set[int] = set()
    separated = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        whole = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes
        if not whole or storage.data_ptr() in storages:
            tensor = tensor.clone().contiguous()
        elif tensor.nbytes:
            storages.add(storage.data_ptr())
        separated[name] = tensor
    return separated
