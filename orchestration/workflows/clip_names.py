"""Names of animations: readable, safe on every file system, and different wherever the results differ."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from core.canonical_json import digest_of

# File systems allow 255 bytes; digest, seed and suffixes take less than 60.
_IMAGE_BYTES, _PROMPT_BYTES = 80, 100
_DIGEST_DIGITS = 8


def clip_stem(folder: Path, image: Path, prompt: str, made_from: Mapping[str, object]) -> Path:
    """Path of an animation's files without seed and suffix.

    Args:
        made_from: everything else that determines the clip but its seed; values have a canonical JSON form.
    """
    words = re.sub("-+", "-", "".join(map(_letter, prompt.lower()))).strip("-") or "clip"
    digest = digest_of({"prompt": prompt, **made_from})[:_DIGEST_DIGITS]
    return folder / f"{_cut(image.stem, _IMAGE_BYTES)}-{_cut(words, _PROMPT_BYTES)}-{digest}"


def _letter(letter: str) -> str:
    """A letter, a mark on one (as the vowels of many scripts are) or a digit; a dash for anything else."""
    return letter if unicodedata.category(letter)[0] in "LMN" else "-"


def _cut(text: str, size: int) -> str:
    """The beginning of a text, of at most ``size`` bytes of UTF-8, without half a character."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").rstrip("-")
