"""Loading networks with diffusers and transformers without their output."""

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module

_LIBRARIES = ("diffusers", "transformers")


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Without the bars of these libraries, as far as they are imported, and their advice on how to load."""
    libraries = [import_module(f"{name}.utils.logging") for name in _LIBRARIES if name in sys.modules]
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
            library.enable_progress_bar()
