"""Make a folder of image tars a dataset for stage 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.storage import Folder
from pipelines.card import write_card
from pipelines.dataset.images import index_images as run


@dataclass(frozen=True)
class ImageIndex:
    """The dataset (folder or URL), its digest, and its counts of rows."""

    dataset: str
    digest: str
    rows: int
    samples: int
    rejected_rows: int
    reasons: Mapping[str, int]


def index_images(dataset: str, on_progress: Callable[[int, int], None]) -> ImageIndex:
    """Write tables beside the tars, which stay as they are; ``on_progress`` gets (tars done, tars).

    Raises:
        AnimaticError: there are no tars, one is damaged, or the folder contains an ingested dataset.
    """
    info = run(dataset, on_progress)
    write_card(Folder(dataset))
    counts = info["counts"]
    return ImageIndex(
        dataset=dataset,
        digest=info["digest"],
        rows=counts["rows"],
        samples=counts["samples"],
        rejected_rows=counts["rejected_rows"],
        reasons=counts["reasons"],
    )
