"""The presets: complete configurations of all stages, one YAML file each; one may extend another."""

from pathlib import Path

from core.config.keys import nearest
from core.config.layers import Layer, read_yaml
from core.errors import AnimaticError

PRESETS = Path(__file__).parents[1] / "presets"


def presets() -> list[str]:
    """Names of all presets, by rising resolution."""
    return sorted(
        (path.stem for path in PRESETS.glob("*.yaml")), key=lambda name: (name != "tiny", len(name), name)
    )


def preset_layers(stage: int, preset: str) -> list[Layer]:
    """A preset's base and its section for the stage, after those of the preset that it extends.

    Raises AnimaticError if it does not exist.
    """
    if preset not in presets():
        raise AnimaticError(f"preset {preset!r} does not exist{nearest(preset, presets())}")
    content = read_yaml(PRESETS / f"{preset}.yaml")
    extended = preset_layers(stage, content["extends"]) if "extends" in content else []
    return [*extended, content["base"], content["stages"].get(stage) or {}]
