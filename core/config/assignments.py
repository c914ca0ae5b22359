"""Assignments as the command line takes them: ``section.key=value``, the value in YAML."""

from typing import Any

import yaml

from core.errors import AnimaticError


def parse_assignment(text: str) -> tuple[str, Any]:
    """Dotted name and value of ``section.key=value``. Raises AnimaticError if the text is not one."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise AnimaticError(f"{text!r} is not an assignment: write key=value or section.key=value")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise AnimaticError(
            f"the value in {text!r} is not valid YAML: put it in one more pair of quotes"
        ) from error
