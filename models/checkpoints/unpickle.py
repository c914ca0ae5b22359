"""Opens a pickled checkpoint in a process of its own: ``python -m models.checkpoints.unpickle FILE``.

Nothing but plain tensors is unpickled (``weights_only``), and not in the process that works with them. The
file is described as one line of JSON on stdout. The process then waits for one on stdin, ``{"target": PATH,
"names": {key in PATH: key in FILE}}``, writes these tensors to that safetensors file, mapped from one file
into the other, and ends; the end of stdin ends it too. An error is one line on stderr and exit code 1.
"""

import argparse
import json
import pickle
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.tensors import separate

_CONTAINERS = ("state_dict", "module")
_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")
_REASON = re.compile(r"WeightsUnpickler error: (.*)")
_SCALE = "scale_arr"


def main() -> None:
    """Command line of the child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    container, state = _load(parser.parse_args().file)
    print(json.dumps(_describe(container, state)), flush=True)
    if order := sys.stdin.readline():
        wanted = json.loads(order)
        tensors = {key: state[stored] for key, stored in wanted["names"].items()}
        save_file(separate(tensors), wanted["target"])


def _load(path: Path) -> tuple[str, dict[str, Tensor]]:
    try:
        # Files from before torch 1.6 are no zip archives and cannot be mapped; they are read whole.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        foreign = _FOREIGN.search(str(error))
        if foreign is None:
            reason = _REASON.search(str(error))
            sys.exit(f"{path} is no checkpoint, or a damaged one{': ' + reason[1] if reason else ''}")
        sys.exit(
            f"{path} holds Python objects besides tensors ({foreign[1]}) and is not opened, since unpickling "
            "those runs their code: take its .safetensors file, or save its state_dict alone"
        )
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        sys.exit(f"{path} is no checkpoint, or a damaged one: {type(error).__name__} {error}".splitlines()[0])
    container = "bare"
    if isinstance(loaded, dict):
        container = next((name for name in _CONTAINERS if isinstance(loaded.get(name), dict)), "bare")
    return container, _tensors(path, loaded if container == "bare" else loaded[container])


def _tensors(path: Path, state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        sys.exit(f"{path} holds no state_dict: a {type(state).__name__} is in its place")
    others = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        sys.exit(f"{path} holds entries that are no tensors: {', '.join(others[:5])}")
    return {str(key): value.detach() for key, value in state.items()}


def _describe(container: str, state: dict[str, Tensor]) -> dict[str, Any]:
    scale = next((value for key, value in state.items() if key.endswith(_SCALE) and value.numel()), None)
    return {
        "container": container,
        "shapes": {key: list(value.shape) for key, value in state.items()},
        "types": {key: _TYPES.get(value.dtype, str(value.dtype)) for key, value in state.items()},
        "scale": None if scale is None else float(scale.flatten()[-1]),
    }


if __name__ == "__main__":
    main()
