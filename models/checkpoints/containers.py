"""Files that hold a checkpoint: safetensors; pickles with ``state_dict``, DeepSpeed's ``module``, or bare."""

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
from models.state_dict_diff import Shape

PICKLES = {".ckpt", ".pt", ".pth", ".bin"}
# DeepSpeed saves the module that it wraps, under this attribute's name.
WRAPPER = "_forward_module."


@dataclass(frozen=True)
class Source:
    """An opened checkpoint file; its tensors stay in the file. A context manager: leaving it closes the file.

    Attributes:
        container: what the tensors lie in: ``bare`` is the file's top level.
        wrapper: leading characters of every key in the file; left out in ``shapes`` and ``types``.
        shapes, types: key -> shape, and safetensors' name of the type (``F32``).
        scale: last value of ``scale_arr``, the signal scale of the network's training, if it is there.
        child: the process that reads a pickle; None for safetensors.
    """

    path: Path
    container: str
    wrapper: str
    shapes: Mapping[str, Shape]
    types: Mapping[str, str]
    scale: float | None
    child: "subprocess.Popen[str] | None"

    @property
    def format(self) -> str:
        """``pickle`` or ``safetensors``."""
        return "safetensors" if self.child is None else "pickle"

    def write(self, target: Path, names: Mapping[str, str]) -> None:
        """Write tensors to a safetensors file, byte for byte and without holding them in memory; only once.

        Args:
            names: key in ``target`` -> key in this file.
        """
        stored = {key: self.wrapper + name for key, name in names.items()}
        if self.child is None:
            with safe_open(self.path, framework="pt") as file:
                save_file({key: file.get_tensor(name) for key, name in stored.items()}, target)
            return
        _, said = self.child.communicate(json.dumps({"target": str(target), "names": stored}) + "\n")
        _check_ended(self.path, self.child, said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child is not None:
            _end(self.child)


def open_source(path: Path) -> Source:
    """Look into a checkpoint file.

    Raises:
        AnimaticError: where there is none, it is damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise AnimaticError(f"there is no checkpoint at {path}")
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    if path.suffix in PICKLES:
        return _open_pickle(path)
    raise AnimaticError(
        f"{path} ends neither in .safetensors nor in {', '.join(sorted(PICKLES))}: is it a checkpoint?"
    )


def _open_safetensors(path: Path) -> Source:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.offset_keys()}
            shapes = {key: value.get_shape() for key, value in slices.items()}
            types = {key: value.get_dtype() for key, value in slices.items()}
            scales = [key for key, shape in shapes.items() if key.endswith(SCALE) and shape and shape[0]]
            scale = float(slices[scales[0]][-1:].flatten()[-1]) if scales else None
    except SafetensorError as error:
        raise AnimaticError(f"{path} is damaged or no safetensors file: {error}") from error
    return _source(path, "bare", shapes, types, scale, None)


def _open_pickle(path: Path) -> Source:
    root = str(Path(models.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # By its file, not as a module: the package around it would load the whole network first. -P keeps the
    # script's own folder out of the search path.
    child = subprocess.Popen(
        [sys.executable, "-P", str(unpickle.__file__), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": search},
    )
    assert child.stdout is not None  # a pipe was asked for
    description = child.stdout.readline()
    if not description:
        _, said = child.communicate()
        _check_ended(path, child, said)
    found = json.loads(description)
    return _source(path, found["container"], found["shapes"], found["types"], found["scale"], child)


def _source(
    path: Path,
    container: str,
    shapes: Mapping[str, Sequence[int]],
    types: Mapping[str, str],
    scale: float | None,
    child: "subprocess.Popen[str] | None",
) -> Source:
    wrapper = WRAPPER if shapes and all(key.startswith(WRAPPER) for key in shapes) else ""
    return Source(
        path,
        container,
        wrapper,
        {key.removeprefix(wrapper): tuple(shape) for key, shape in shapes.items()},
        {key.removeprefix(wrapper): name for key, name in types.items()},
        scale,
        child,
    )


def _check_ended(path: Path, child: "subprocess.Popen[str]", said: str) -> None:
    if child.returncode:
        lines = said.strip().splitlines()
        raise AnimaticError(
            lines[-1] if lines else f"the process that read {path} ended with code {child.returncode}"
        )


def _end(child: "subprocess.Popen[str]") -> None:
    if child.poll() is None:
        child.communicate()
