"""Checkpoint files: safetensors; pickles with ``state_dict`` or another container, or bare tensors."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import models
from core.errors import AnimaticError
from models.checkpoints import unpickle
from models.checkpoints.schedule import SCALE
from models.checkpoints.unpickle import CheckpointContent, WriteRequest
from models.file_kind import SAFETENSORS, file_kind
from models.state_dict_diff import Shape

# Attributes under which DeepSpeed, DistributedDataParallel and torch.compile keep the module that they wrap.
WRAPPERS = ("_forward_module.", "module.", "_orig_mod.")


@dataclass(frozen=True)
class CheckpointFile:
    """An opened checkpoint; its tensors stay in the file. A context manager: leaving it closes the file.

    Attributes:
        container: key of the dictionary with the tensors, of nested ones as ``model.state_dict``; ``bare``
            where they are at the top level.
        wrapper: leading characters of every key in the file; left out in ``shapes`` and ``types``.
        shapes, types: key -> shape, and safetensors' name of the type (``F32``).
        scale: last value of ``scale_arr``, the signal scale of the network's training, if the file has it.
        reader: the process that reads a pickle; None for safetensors.
    """

    path: Path
    container: str
    wrapper: str
    shapes: Mapping[str, Shape]
    types: Mapping[str, str]
    scale: float | None
    reader: "subprocess.Popen[str] | None"

    @property
    def format(self) -> str:
        """``pickle`` or ``safetensors``."""
        return "safetensors" if self.reader is None else "pickle"

    def write(self, target: Path, names: Mapping[str, str]) -> None:
        """Copy tensors to a safetensors file, byte for byte and without holding them in memory; only once.

        Args:
            names: key in ``target`` -> key in this file.

        Raises:
            AnimaticError: where a pickle's tensors cannot be read.
        """
        stored = {key: self.wrapper + name for key, name in names.items()}
        if self.reader is None:
            with safe_open(self.path, framework="pt") as file:
                save_file({key: file.get_tensor(name) for key, name in stored.items()}, target)
            return
        request: WriteRequest = {"target": str(target), "names": stored}
        _, errors = self.reader.communicate(json.dumps(request) + "\n")
        _check_exit(self.path, self.reader, errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.reader is not None and self.reader.poll() is None:
            self.reader.communicate()  # closes its stdin, which ends it


def open_checkpoint(path: Path) -> CheckpointFile:
    """Read what a checkpoint file contains, but for the values of its tensors; its name does not matter.

    Raises:
        AnimaticError: where the file is missing, damaged, of another kind, or contains more than tensors.
    """
    return _open_safetensors(path) if file_kind(path) == SAFETENSORS else _open_pickle(path)


def _open_safetensors(path: Path) -> CheckpointFile:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.offset_keys()}
            shapes = {key: list(value.get_shape()) for key, value in slices.items()}
            types = {key: value.get_dtype() for key, value in slices.items()}
            scales = [key for key, shape in shapes.items() if key.endswith(SCALE) and shape and shape[0]]
            scale = float(slices[scales[0]][-1:].flatten()[-1]) if scales else None
    except SafetensorError as error:
        raise AnimaticError(f"{path} is damaged or no safetensors file: {error}") from error
    content: CheckpointContent = {"container": "bare", "shapes": shapes, "types": types, "scale": scale}
    return _checkpoint_file(path, content, None)


def _open_pickle(path: Path) -> CheckpointFile:
    root = str(Path(models.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # By its file, not as a module: the package around it would load the whole network first. -P keeps the
    # script's own folder out of the search path.
    reader = subprocess.Popen(
        [sys.executable, "-P", str(unpickle.__file__), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": search},
    )
    assert reader.stdout is not None  # it is a pipe
    line = reader.stdout.readline()
    if not line:
        _, errors = reader.communicate()
        _check_exit(path, reader, errors)
    content: CheckpointContent = json.loads(line)
    return _checkpoint_file(path, content, reader)


def _checkpoint_file(
    path: Path, content: CheckpointContent, reader: "subprocess.Popen[str] | None"
) -> CheckpointFile:
    shapes, types = content["shapes"], content["types"]
    wrapper = _common_wrapper(list(shapes))
    return CheckpointFile(
        path,
        content["container"],
        wrapper,
        {key.removeprefix(wrapper): tuple(shape) for key, shape in shapes.items()},
        {key.removeprefix(wrapper): name for key, name in types.items()},
        content["scale"],
        reader,
    )


def _common_wrapper(keys: Sequence[str]) -> str:
    """The wrappers' names that every key begins with."""
    found = ""
    while keys:
        inner = next((name for name in WRAPPERS if all(key.startswith(found + name) for key in keys)), None)
        if inner is None:
            break
        found += inner
    return found


def _check_exit(path: Path, reader: "subprocess.Popen[str]", errors: str) -> None:
    if reader.returncode:
        lines = errors.strip().splitlines()
        raise AnimaticError(
            lines[-1] if lines else f"the process that reads {path} ended with code {reader.returncode}"
        )
