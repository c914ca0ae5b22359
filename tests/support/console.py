"""Consoles for tests."""

import io

from rich.console import Console


def quiet_console() -> Console:
    """A console that is no terminal and whose output nobody reads."""
    return Console(file=io.StringIO(), width=120)
