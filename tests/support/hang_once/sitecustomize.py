"""Python imports this in every process whose PYTHONPATH names this folder: the process of rank 1 hangs in the
objective of its third step, once, as the file ``HANG_ONCE`` records."""

import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_OBJECTIVE, _STEP = "training.objectives.denoising", 3


class _Hanging(importlib.abc.MetaPathFinder):
    """Finds the module of the objective, and changes it once it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _OBJECTIVE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        real = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            real(module)
            _hang_in(module.DenoisingObjective)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _hang_in(objective: Any) -> None:
    real, calls = objective.__call__, itertools.count(1)

    def call(self: Any, *args: Any, **options: Any) -> Any:
        if next(calls) == _STEP and os.environ.get("RANK") == "1":
            happened = Path(os.environ["HANG_ONCE"])
            if not happened.exists():
                happened.touch()
                hang_here()
        return real(self, *args, **options)

    objective.__call__ = call


def hang_here() -> None:
    """Never returns."""
    threading.Event().wait()


if "HANG_ONCE" in os.environ:
    sys.meta_path.insert(0, _Hanging())
