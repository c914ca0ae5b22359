"""UCF-101 and MSR-VTT, from their users' folder to a prepared set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from core.errors import AnimaticError
from pipelines.evaluate.protocols import msrvtt, ucf101
from pipelines.evaluate.protocols.listing import Listing, PublicDataset
from pipelines.evaluate.protocols.prepare import prepare


@dataclass(frozen=True)
class PublicData:
    """Which videos of a public dataset, and which of their captions; None: the dataset's default."""

    dataset: PublicDataset
    folder: Path
    split: str | None = None
    captions: str | None = None

    def list_videos(self) -> Listing:
        """The videos.

        Raises AnimaticError if the dataset is not in its users' layout, or a value does not exist.
        """
        folder = self.folder.resolve()
        if not folder.is_dir():
            raise AnimaticError(f"{self.folder} is not a folder with the videos of {self.dataset}")
        if self.dataset == "ucf101":
            return ucf101.list_ucf101(folder, self.split or ucf101.DEFAULT_SPLIT)
        captions = self.captions or "first"
        if captions not in get_args(msrvtt.CaptionRule):
            raise AnimaticError(f"--captions {captions!r} does not exist: pass first or longest")
        rule = cast(msrvtt.CaptionRule, captions)
        return msrvtt.list_msrvtt(folder, self.split or msrvtt.DEFAULT_SPLIT, rule)


def prepare_public_data(
    data: PublicData,
    parent: Path,
    *,
    workers: int = 0,
    address: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """List and normalise videos: see :meth:`PublicData.list_videos` and :func:`prepare`."""
    listing = data.list_videos()
    return prepare(listing, parent, workers=workers, address=address, on_progress=on_progress)
