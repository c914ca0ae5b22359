"""The presets that ship with training."""

from pathlib import Path
from typing import Any

from core.config.layers import read_yaml
from core.errors import AnimaticError

PRESETS = Path(__file__).parents[1] / "presets"


def presets() -> list[str]:
    """Names of the presets that ship, by resolution."""
    return sorted(
        (path.stem for path in PRESETS.glob("*.yaml")), key=lambda name: (name != "tiny", len(name), name)
    )


def preset_layers(stage: int, preset: str) -> list[dict[str, Any]]:
    """A preset's base and its section for the stage. Raises AnimaticError if there is no such preset."""
    path = PRESETS / f"{preset}.yaml"
    if not path.is_file():
        raise AnimaticError(f"there is no preset {preset!r}: choose one of {', '.join(presets())}")
    content = read_yaml(path)
    return [content["base"], content["stages"].get(stage) or {}]
