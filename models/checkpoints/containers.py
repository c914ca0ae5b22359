"""Files that hold a checkpoint: safetensors; pickles with ``state_dict``, DeepSpeed's ``module``, or bare."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import models
from models.checkpoints import unpickle
from models.checkpoints.schedule import SCALE
from models.differences import Shape
from models.errors import AnimaticError

PICKLES = {".ckpt", ".pt", ".pth", ".bin"}
# DeepSpeed saves the module that it wraps, under this attribute's name.
WRAPPER = "_forward_module."


@dataclass(frozen=True)
class Source:
    """An opened checkpoint file; its tensors stay in the file.

    Attributes:
        container: what the tensors lie in: ``bare`` is the file's top level.
        wrapper: leading characters of every key in the file; left out in ``shapes`` and ``types``.
        shapes, types: key -> shape, and safetensors' name of the type (``F32``).
        scale: last value of ``scale_arr``, the signal scale of the network's training, if it is there.
    """

    path: Path
    format: Literal["pickle", "safetensors"]
    container: str
    wrapper: str
    shapes: Mapping[str, Shape]
    types: Mapping[str, str]
    scale: float | None

    def copy(self, target: Path, names: Mapping[str, str]) -> None:
        """Write tensors to a safetensors file, byte for byte and without holding them in memory.

        Args:
            names: key in ``target`` -> key in this file.
        """
        stored = {key: self.wrapper + name for key, name in names.items()}
        if self.format == "pickle":
            _unpickle(self.path, "--out", str(target), sent=json.dumps(stored))
        else:
            with safe_open(self.path, framework="pt") as file:
                save_file({key: file.get_tensor(name) for key, name in stored.items()}, target)


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
        found = json.loads(_unpickle(path))
        return _source(path, "pickle", found["container"], found["shapes"], found["types"], found["scale"])
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
    return _source(path, "safetensors", "bare", shapes, types, scale)


def _source(
    path: Path,
    kind: Literal["pickle", "safetensors"],
    container: str,
    shapes: Mapping[str, Any],
    types: Mapping[str, str],
    scale: float | None,
) -> Source:
    wrapper = WRAPPER if shapes and all(key.startswith(WRAPPER) for key in shapes) else ""
    return Source(
        path,
        kind,
        container,
        wrapper,
        {key.removeprefix(wrapper): tuple(shape) for key, shape in shapes.items()},
        {key.removeprefix(wrapper): name for key, name in types.items()},
        scale,
    )


def _unpickle(path: Path, *arguments: str, sent: str = "") -> str:
    """Run the child process on ``path`` and return what it printed."""
    root = str(Path(models.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # By its file, not as a module: the package around it would load the whole network first. -P keeps the
    # script's own folder out of the search path.
    done = subprocess.run(
        [sys.executable, "-P", str(unpickle.__file__), str(path), *arguments],
        input=sent,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": search},
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise AnimaticError(
            said[-1] if said else f"the process that read {path} ended with code {done.returncode}"
        )
    return done.stdout
