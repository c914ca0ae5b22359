"""Opens a pickled checkpoint in a process of its own: ``python models/checkpoints/unpickle.py FILE``.

Only plain tensors are unpickled (``weights_only``), and never in the process that works with them. The
process writes a :class:`CheckpointContent` as one line of JSON to stdout and waits for a
:class:`WriteRequest` on stdin. It writes the requested tensors to a safetensors file, mapped from one file
into the other, and ends. The end of stdin ends it too. An error is one line on stderr and exit code 1.
"""

import argparse
import json
import pickle
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.encoders.weight_files import DAMAGED_PICKLE
from models.tensors import separate


class CheckpointContent(TypedDict):
    """What a checkpoint file contains.

    ``container``: key of the dictionary with the tensors, of nested ones as "model.state_dict"; "bare" where
    they are at the top level.
    ``shapes``, ``types``: by key in the file; types as safetensors names them (``F32``).
    ``scale``: last value of ``scale_arr``, if the file has it.
    """

    container: str
    shapes: dict[str, list[int]]
    types: dict[str, str]
    scale: float | None


class WriteRequest(TypedDict):
    """``names``: key in the safetensors file ``target`` -> key in the pickle."""

    target: str
    names: dict[str, str]


# Of Lightning, DeepSpeed, and training scripts; where a file has several, the first.
_CONTAINERS = ("state_dict", "module", "model", "model_state_dict")
_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")
_REASON = re.compile(r"WeightsUnpickler error: (.*)")
_SCALE = "scale_arr"


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    container, state = _load(parser.parse_args().file)
    print(json.dumps(_content(container, state)), flush=True)
    if line := sys.stdin.readline():
        request: WriteRequest = json.loads(line)
        tensors = {key: state[stored] for key, stored in request["names"].items()}
        save_file(separate(tensors), request["target"])


def _load(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Container and tensors of the file; exits with a message where it has none."""
    try:
        # By another name: torch would not read a pickle that is called .safetensors.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "checkpoint.pt"
            link.symlink_to(path.resolve())
            # Files from before torch 1.6 are no zip archives and cannot be mapped; they are read whole.
            mapped = zipfile.is_zipfile(path)
            loaded = torch.load(link, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        foreign = _FOREIGN.search(str(error))
        if foreign is None:
            reason = _REASON.search(str(error))
            cause = (reason[1].strip() if reason else "") or "a pickle that torch.save did not write"
            sys.exit(f"{path} is no checkpoint, or a damaged one: {cause}")
        sys.exit(
            f"{path} contains Python objects besides tensors ({foreign[1]}) and is not opened, since "
            "unpickling those runs their code: use its .safetensors file, or save its state_dict alone"
        )
    except DAMAGED_PICKLE as error:
        sys.exit(f"{path} is no checkpoint, or a damaged one: {type(error).__name__} {error}".splitlines()[0])
    container, state = _contained(loaded)
    return container, _tensors(path, state)


def _contained(loaded: object) -> tuple[str, object]:
    """Where the state_dict is in what was loaded, and the state_dict."""
    names: list[str] = []
    while isinstance(loaded, dict):
        name = next((name for name in _CONTAINERS if isinstance(loaded.get(name), dict)), None)
        if name is None:
            break
        names.append(name)
        loaded = loaded[name]
    return ".".join(names) or "bare", loaded


def _tensors(path: Path, state: object) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        sys.exit(f"{path} contains a {type(state).__name__} where a state_dict is expected")
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        sys.exit(f"{path} contains entries that are no tensors: {', '.join(others[:5])}")
    return {str(key): value.detach() for key, value in state.items()}


def _content(container: str, state: dict[str, Tensor]) -> CheckpointContent:
    scale = next((value for key, value in state.items() if key.endswith(_SCALE) and value.numel()), None)
    return {
        "container": container,
        "shapes": {key: list(value.shape) for key, value in state.items()},
        "types": {key: _TYPES.get(value.dtype, str(value.dtype)) for key, value in state.items()},
        "scale": None if scale is None else float(scale.flatten()[-1]),
    }


if __name__ == "__main__":
    main()
