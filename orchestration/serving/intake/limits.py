"""What a request may have: the part of the settings that intake reads."""

from __future__ import annotations

from typing import Protocol


class IntakeLimits(Protocol):
    """Satisfied by :class:`orchestration.serving.settings.LimitSettings`."""

    @property
    def body_bytes(self) -> int:
        """Bytes of a body."""
        ...

    @property
    def body_seconds(self) -> float:
        """Seconds in which a body must arrive."""
        ...

    @property
    def bodies(self) -> int:
        """Bodies that a process receives and checks at once."""
        ...

    @property
    def pixels(self) -> int:
        """Pixels of a picture."""
        ...

    @property
    def side(self) -> int:
        """Pixels of the longer side of a picture."""
        ...

    @property
    def prompt_chars(self) -> int:
        """Characters of a prompt."""
        ...
