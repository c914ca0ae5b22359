"""How a run ended, for trackers."""

from typing import Literal

Outcome = Literal["finished", "failed", "interrupted"]
