"""Files outside of datasets that have pictures of source videos: listed for people, never deleted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.urls import absolute, is_url
from orchestration.lineage import Descendant
from orchestration.workspace import Workspace, display_path
from pipelines.dataset.made_from import MADE_FROM_FILE
from pipelines.evaluate import files_with_sources
from pipelines.takedown import plan_takedown
from training.config import RunConfig, load
from training.run_folder import RunFolder


@dataclass(frozen=True)
class Copies:
    """A file, or a folder of them, and what it has of the videos."""

    path: str
    content: str
    remedy: str


def find_copies(
    workspace: Workspace,
    source_ids: Collection[str],
    digests: Collection[str],
    urls: Collection[str],
    seen: Sequence[Descendant],
) -> list[Copies]:
    """Copies of frames below the workspace's folder, and datasets that were made of others there or nearby.

    Args:
        digests, urls: of the datasets that had the videos.
        seen: what descends from them.
    """
    return [
        *_evaluations(workspace.root, frozenset(source_ids)),
        *_samples(seen, {_comparable(url) for url in urls}),
        *_inspections(workspace.root, digests),
        *_made_datasets(workspace.root, list(source_ids), urls),
    ]


def _evaluations(root: Path, source_ids: frozenset[str]) -> list[Copies]:
    certain = "clips of the videos, real and generated from their frames"
    unknown = "its record cannot be read: it may have clips of the videos"
    remedy = "delete the folder; evaluate again for figures without the videos"
    return [
        Copies(display_path(file.path), certain if file.certain else unknown, remedy)
        for file in files_with_sources(root, source_ids)
    ]


def _made_datasets(root: Path, source_ids: Sequence[str], urls: Collection[str]) -> list[Copies]:
    """Datasets made of others that have the videos: in the workspace, or beside the datasets, as splits."""
    local = [Path(url) for url in urls if not is_url(url)]
    parents = dict.fromkeys(path.absolute() for path in (root, *(each.parent for each in local)))
    files = [
        file
        for parent in parents
        for depth in ("*", "*/*")
        for file in parent.glob(f"{depth}/{MADE_FROM_FILE}")
    ]
    own = {path.absolute() for path in local}
    found = []
    for folder in dict.fromkeys(sorted(file.parent for file in files)):
        if folder in own:
            continue
        try:
            samples = plan_takedown(str(folder), source_ids).samples
        except AnimaticError:
            found.append(
                Copies(
                    display_path(folder),
                    "a dataset made of others that cannot be read: it may have clips of the videos",
                    f"run `animatic verify {display_path(folder)}`",
                )
            )
            continue
        if samples:
            content = f"a dataset made of others, with {samples} of their clips"
            remedy = f"animatic takedown {display_path(folder)}, with the same ids"
            found.append(Copies(display_path(folder), content, remedy))
    return found


def _samples(seen: Sequence[Descendant], urls: set[str]) -> list[Copies]:
    """Validation samples of runs that draw them from the datasets."""
    found = []
    for run in seen:
        if run.kind != "run" or run.where is None:
            continue
        folder = RunFolder(Path(run.where))
        pictures = sorted(folder.samples.glob("step-*")) if folder.samples.is_dir() else []
        if pictures and _draws_from(folder, urls):
            content = f"{len(pictures)} validation samples, animated from frames of the dataset"
            remedy = "look at them, and delete those of the videos; trackers have copies"
            found.append(Copies(display_path(folder.samples), content, remedy))
    return found


def _draws_from(folder: RunFolder, urls: set[str]) -> bool:
    """Whether a run may draw its samples from these datasets; one with an unreadable configuration may."""
    config = _config(folder)
    if config is None or config.validation.data is None:
        return trains_on(folder, urls)
    return _comparable(config.validation.data) in urls


def trains_on(folder: RunFolder, urls: Collection[str]) -> bool:
    """Whether a run may train on these datasets itself; one with an unreadable configuration may."""
    config = _config(folder)
    if config is None:
        return True
    return bool({_comparable(each.dataset) for each in config.data.datasets} & set(map(_comparable, urls)))


def _config(folder: RunFolder) -> RunConfig | None:
    try:
        return load(folder.config)
    except (AnimaticError, OSError):
        return None


def _inspections(root: Path, digests: Collection[str]) -> list[Copies]:
    """Pages of `animatic inspect`, whose names end with the beginning of the dataset's digest."""
    pages = [page for digest in digests for page in sorted((root / "inspect").glob(f"*-{digest[:8]}.html"))]
    content, remedy = "pictures of clips of the dataset", "delete it and run `animatic inspect` again"
    return [Copies(display_path(page), content, remedy) for page in pages]


def _comparable(url: str) -> str:
    return url.rstrip("/") if is_url(url) else str(Path(absolute(url)).resolve())
