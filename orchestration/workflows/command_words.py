"""Options and assignments as a command of ``animatic`` takes them."""

from __future__ import annotations

import json

from core.config.keys import flatten
from training.config import RunConfig


def assignments(config: RunConfig, preset: RunConfig) -> list[str]:
    """Assignments that make of a preset's configuration this one."""
    before = flatten(preset.model_dump(mode="json"))
    after = flatten(config.model_dump(mode="json"))
    return [f"{name}={json.dumps(value)}" for name, value in after.items() if before.get(name, ...) != value]


def command_options(**values: object) -> tuple[str, ...]:
    """As the command takes them: lists are repeated, True is a flag, None and False are left out."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list | tuple):
            words += [f"{option}={each}" for each in value]
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return tuple(words)
