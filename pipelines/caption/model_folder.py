"""The folder of a model of transformers: what its files are, checked before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.files import sha256

CONFIG = "config.json"
# Everything else that decides a caption: configuration, tokenizer, chat template, processor.
_TEXT_FILES = (".json", ".txt", ".jinja", ".model")


@dataclass(frozen=True)
class ModelFiles:
    """Digests of a model's weights, and of its other files that decide what it writes."""

    weights: str
    processor: str


def require_model_folder(path: Path) -> None:
    """Raise AnimaticError unless a folder holds a model with weights as safetensors."""
    if not (path / CONFIG).is_file():
        raise AnimaticError(
            f"{path} is not the folder of a model of transformers: it has no {CONFIG}; download the model's "
            "files and pass their folder as --model"
        )
    if not any(path.glob("*.safetensors")):
        raise AnimaticError(
            f"{path} has no weights as safetensors, and pickles are not loaded: convert them with "
            "transformers (save_pretrained) or download the model's *.safetensors"
        )


def digest_model(path: Path) -> ModelFiles:
    """Digests of the files of a model, whose folder was checked."""
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    weights = {file.name: sha256(file) for file in files if file.suffix == ".safetensors"}
    others = {file.name: sha256(file) for file in files if file.suffix in _TEXT_FILES}
    return ModelFiles(digest_of(weights), digest_of(others))
