"""The names that a preset may have."""

from __future__ import annotations

from core.config.keys import nearest
from core.errors import AnimaticError
from orchestration.registry.ledger import Ledger


def check_preset(ledger: Ledger, preset: str | None) -> None:
    """Accept None, the presets of this version, and those of the ledger's entries.

    Raises:
        AnimaticError: any other name; the message has the nearest one.
    """
    if preset is None or any(entry.preset == preset for entry in ledger.entries()):
        return
    from training.config.presets import presets  # only where a preset is given: the import takes a while

    if preset not in presets():
        raise AnimaticError(f"preset {preset!r} does not exist{nearest(preset, presets())}")
