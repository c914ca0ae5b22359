"""Names of animations: readable, safe on every file system, and different wherever the results differ."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from core.canonical_json import digest_of
from core.errors import AnimaticError
from models.diffusion.settings import MAX_SEED

FORMATS = (".mp4", ".gif")
# What a user may expect to be written if a path ends in it; it would become the name of a folder.
OTHER_FORMATS = (".webm", ".mov", ".avi", ".mkv", ".m4v", ".webp", ".png", ".jpg", ".jpeg")

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


def single_file(out: Path | None, count: int) -> Path | None:
    """The file that ``--out`` names; None where it names a folder, or nothing.

    Raises:
        AnimaticError: it is a file of another format, or exists, or there are ``count`` clips for it.
    """
    if out is None or out.is_dir() or out.suffix.lower() not in (*FORMATS, *OTHER_FORMATS):
        return None
    if out.suffix.lower() not in FORMATS:
        raise AnimaticError(
            f"--out {out}: clips are written as {' and '.join(FORMATS)}, not as {out.suffix}: name such "
            "a file, or a folder"
        )
    if count > 1:
        raise AnimaticError(f"--out {out} names one file, for {count} clips: name a folder")
    if out.exists():
        raise AnimaticError(f"{out} exists and is not overwritten: remove it, or name another with --out")
    return out


def check_seeds(seed: int, count: int) -> None:
    """Raise AnimaticError where the seeds of ``count`` clips from ``seed`` on are too large."""
    if seed + count - 1 > MAX_SEED:
        raise AnimaticError(
            f"--seed {seed} with --count {count} needs seeds above the largest, {MAX_SEED}: lower one of them"
        )


def _letter(letter: str) -> str:
    """A letter, a mark on one (as the vowels of many scripts are) or a digit; a dash for anything else."""
    return letter if unicodedata.category(letter)[0] in "LMN" else "-"


def _cut(text: str, size: int) -> str:
    """The beginning of a text, of at most ``size`` bytes of UTF-8, without half a character."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").rstrip("-")
