"""Read a whole dataset, or latents, and compare everything with its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import AnimaticError
from orchestration.workspace import Workspace
from pipelines.dataset.latent_records import holds_latents
from pipelines.dataset.verify import verify
from pipelines.dataset.verify_latents import verify_latents


@dataclass(frozen=True)
class VerifyOptions:
    """``dataset``: a dataset or latents, the newest dataset if None; ``deep``: decode every frame too."""

    dataset: str | None = None
    deep: bool = False


@dataclass(frozen=True)
class VerifyResult:
    """Problems, one line each; none if the dataset is intact."""

    dataset: str
    problems: list[str]


def verify_dataset(
    options: VerifyOptions, workspace: Workspace, on_progress: Callable[[int, int], None]
) -> VerifyResult:
    """Check every digest, count, tar and sample; ``on_progress`` gets (done, all) of shards or files.

    Raises:
        AnimaticError: there is no dataset, or ``deep`` is asked for latents or images.
    """
    url = workspace.dataset(options.dataset)
    if not holds_latents(url):
        return VerifyResult(url, verify(url, deep=options.deep, progress=on_progress))
    if options.deep:
        raise AnimaticError(f"{url} contains latents, which have no clips to decode: leave out --deep")
    return VerifyResult(url, verify_latents(url, progress=on_progress))
