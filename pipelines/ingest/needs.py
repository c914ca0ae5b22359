"""What the videos of a table need, found before the work: folders, packages and credentials."""

from collections.abc import Collection
from pathlib import Path

from core.errors import AnimaticError
from core.urls import is_url, scheme_of, without_credentials
from pipelines.fetch import FetchPolicy, missing_reader, what_is_missing
from pipelines.sources import are_archives, find_archives


def check_videos(videos: str | None) -> None:
    """Check the folder or archives of videos. Raises AnimaticError if they do not exist, or if nothing could
    be read from them because a package or credentials are missing."""
    if videos is None:
        return
    if not is_url(videos):
        if are_archives(videos):
            find_archives(videos)
        elif not Path(videos).is_dir():
            raise AnimaticError(f"the folder of videos {videos} does not exist")
        return
    lack = what_is_missing(scheme_of(videos))
    if lack is not None:
        raise AnimaticError(f"the folder of videos {without_credentials(videos)} cannot be read: {lack}")


def needs_of(schemes: Collection[str], fetch: FetchPolicy) -> list[str]:
    """A line for each kind of address whose videos cannot be read on this machine, with the cause."""
    lacks = {scheme: what_is_missing(scheme) for scheme in sorted(schemes)}
    sites = missing_reader() if fetch.sites is not None else None
    pages = [] if sites is None else [f"videos on pages will be rejected: {sites}"]
    return pages + [
        f"videos at {scheme}:// addresses will be rejected: {lack}"
        for scheme, lack in lacks.items()
        if lack is not None
    ]
