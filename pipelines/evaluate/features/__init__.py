"""Feature extractors, by name; each is loaded from a file whose sha256 its values record."""

import re
from collections.abc import Mapping
from pathlib import Path

from core.errors import AnimaticError
from core.files import content_digests
from pipelines.evaluate.features.clip import CLIP
from pipelines.evaluate.features.dreamsim import DREAMSIM
from pipelines.evaluate.features.extractor import (
    ChunkFeatures,
    ClipFeatures,
    Extractor,
    ExtractorFile,
    ExtractorKind,
)
from pipelines.evaluate.features.i3d import I3D
from pipelines.evaluate.features.videomae import VIDEOMAE

EXTRACTORS: dict[str, ExtractorKind] = {kind.name: kind for kind in (I3D, VIDEOMAE, DREAMSIM, CLIP)}

_SHA256 = re.compile("[0-9a-fA-F]{64}")

__all__ = [
    "EXTRACTORS",
    "ChunkFeatures",
    "ClipFeatures",
    "Extractor",
    "ExtractorFile",
    "ExtractorKind",
    "check_frames",
    "identify",
    "open_extractor",
]


def identify(given: Mapping[str, str]) -> dict[str, ExtractorFile]:
    """The extractors given as name → PATH or PATH@SHA256, identified by content and not yet loaded.

    Raises AnimaticError for an unknown name, a file that is missing or has another sha256, or one that is
    not of its kind.
    """
    found = {}
    for name, location in given.items():
        if name not in EXTRACTORS:
            raise AnimaticError(f"no extractor is named {name!r}; there are {', '.join(sorted(EXTRACTORS))}")
        text, expected = _split(location)
        path = Path(text).expanduser().absolute()
        if not path.exists():
            raise AnimaticError(f"extractor {name}: {path} does not exist; name its file or folder")
        digest = content_digests({name: path})[name]
        if expected and digest != expected:
            raise AnimaticError(
                f"extractor {name}: {path} has sha256 {digest}, not {expected}: restore the file, or name "
                "the digest of the one you mean"
            )
        found[name] = ExtractorFile(name, path, digest, EXTRACTORS[name].describe(path))
    return found


def _split(location: str) -> tuple[str, str]:
    """Path and digest, which is empty where none is given. A path may contain an @."""
    path, _, digest = location.rpartition("@")
    if path and _SHA256.fullmatch(digest):
        return path, digest.lower()
    return location, ""


def check_frames(extractors: Mapping[str, ExtractorFile], frames: int) -> None:
    """Raise AnimaticError for an extractor whose network reads clips of another length."""
    for file in extractors.values():
        wanted = EXTRACTORS[file.name].frames(file.path)
        if wanted is not None and wanted != frames:
            raise AnimaticError(
                f"extractor {file.name}: {file.path} reads clips of {wanted} frames, these have {frames}: "
                f"leave --extractor {file.name} out, or name a network for {frames} frames"
            )


def open_extractor(file: ExtractorFile, device: str) -> Extractor:
    """Load an identified extractor to a device ("cpu", "cuda").

    Raises AnimaticError if its file has changed since, or is not what it describes.
    """
    if not file.path.exists() or content_digests({file.name: file.path})[file.name] != file.digest:
        raise AnimaticError(
            f"extractor {file.name}: {file.path} changed while the evaluation was running: restore it, and "
            "rerun the same command"
        )
    return EXTRACTORS[file.name].open(file.path, device)
