"""Feature extractors, by name; each is loaded from a file whose sha256 its values record."""

from collections.abc import Mapping
from pathlib import Path

from core.errors import AnimaticError
from core.files import content_digests
from pipelines.evaluate.features.extractor import (
    ChunkFeatures,
    ClipFeatures,
    Extractor,
    ExtractorFile,
    ExtractorKind,
)

EXTRACTORS: dict[str, ExtractorKind] = {}

__all__ = [
    "EXTRACTORS",
    "ChunkFeatures",
    "ClipFeatures",
    "Extractor",
    "ExtractorFile",
    "ExtractorKind",
    "identify",
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
        text, _, expected = location.partition("@")
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
