"""Networks as TorchScript archives: code and weights in one file, which runs without its Python source.

The archive's code is executed: only files that are trusted, by their sha256, may be loaded.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.jit import ScriptModule


def check_archive(path: Path, name: str) -> None:
    """Raise AnimaticError unless a file is a TorchScript archive; nothing in it is executed.

    ``name``: of the extractor, for errors.
    """
    entries: list[str] = []
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
    if not any("/code/" in entry for entry in entries):
        raise AnimaticError(f"extractor {name}: {path} is not a TorchScript file (of torch.jit.save)")


class Script:
    """A loaded archive."""

    def __init__(self, path: Path, name: str, device: str) -> None:
        """Raises AnimaticError if it cannot be loaded; arguments as of :func:`check_archive`."""
        import torch

        self._path, self._name = path, name
        self.device = device
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch deprecates TorchScript
                self._module: ScriptModule = torch.jit.load(path, map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise AnimaticError(
                f"extractor {name}: {path} cannot be loaded ({_reason(error)}): restore the file"
            ) from error

    def __call__(self, batch: Tensor, **options: bool) -> Tensor:
        """Features [n d] of a batch of n inputs. Raises AnimaticError if it makes anything else of them."""
        import torch

        # Without optimised execution the first calls have the bits of later ones.
        try:
            with torch.inference_mode(), torch.jit.optimized_execution(False):
                features = self._module(batch.to(self.device), **options)
        except (RuntimeError, torch.jit.Error) as error:
            raise AnimaticError(
                f"extractor {self._name}: {self._path} cannot read inputs of shape {tuple(batch.shape)} "
                f"({_reason(error)})"
            ) from error
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(batch):
            shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise AnimaticError(
                f"extractor {self._name}: {self._path} makes {shape} of inputs of shape "
                f"{tuple(batch.shape)}, not one vector each: it is another network than expected"
            )
        return features


def _reason(error: Exception) -> str:
    """The last line of an error of torch, which has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("RuntimeError: ") if lines else type(error).__name__
