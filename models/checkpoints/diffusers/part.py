"""One part: a folder with a configuration and, mostly, weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue
from safetensors.torch import save_file
from torch import Tensor

from core.errors import AnimaticError
from models.state_dict_diff import compare, shapes_of
from models.tensors import separate

if TYPE_CHECKING:
    from transformers import PretrainedConfig

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Part:
    """A folder that was written.

    Attributes:
        reader: what loads it, as ``diffusers.AutoencoderKL``; empty where no class does.
        remark: what a user of the part must know, a sentence; empty for none.
    """

    name: str
    reader: str
    remark: str = ""


def write_json(path: Path, content: Mapping[str, JsonValue]) -> None:
    """A configuration as diffusers and transformers write theirs."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_config(path: Path, config: "PretrainedConfig", reader: str) -> None:
    """The configuration of a model of transformers, whose weights are in float32."""
    content = json.loads(config.to_json_string())
    write_json(path, {**content, "architectures": [reader.rpartition(".")[2]], "dtype": "float32"})


def write_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Weights as diffusers and transformers read them; tensors mapped from a file stay in the file."""
    path.parent.mkdir(exist_ok=True)
    save_file(separate(state), path, metadata={"format": "pt"})
    path.chmod(0o644)


def check_tensors(part: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], reader: str) -> None:
    """Compare names and shapes with those of the class that will read the part.

    Raises:
        AnimaticError: listing what differs.
    """
    diff = compare(shapes_of(found), shapes_of(wanted))
    if diff:
        raise AnimaticError(f"the {part} does not fit {reader}, which the format diffusers needs: {diff}")
