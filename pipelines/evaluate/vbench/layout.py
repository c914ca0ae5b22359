"""VBench-I2V's files: its list of prompts with pictures, and the names under which it looks for clips.

Its evaluation takes clips named ``PROMPT-INDEX.mp4`` and, for pictures of one's own, ``PROMPT.jpg`` or
``.png`` (``build_full_info_json`` of the package vbench).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from core.errors import AnimaticError
from core.h264 import H264Settings

CLIPS_OF_PROMPT = 5
ENCODING = H264Settings(crf=10)  # that of VBench's own sampling scripts
VIDEOS, PICTURES = "videos", "images"

_NAME_BYTES = 255  # that file systems take, with the index and the suffix


class _Entry(TypedDict):
    prompt_en: str
    dimension: list[str]
    image_name: NotRequired[str]


_ENTRIES = TypeAdapter(list[_Entry])


@dataclass(frozen=True)
class VBenchPrompt:
    """A prompt and the picture that it animates."""

    text: str
    picture: Path


def read_prompts(info: Path, pictures: Path, dimensions: Sequence[str] = ()) -> list[VBenchPrompt]:
    """The prompts of ``vbench2_i2v_full_info.json``, of some dimensions or of all.

    ``pictures``: the folder of one aspect ratio, as ``data/crop/16-9``.

    Raises AnimaticError if the file is none, it has no such prompts, or a picture is missing.
    """
    try:
        entries = _ENTRIES.validate_json(info.read_bytes())
    except OSError as error:
        raise AnimaticError(f"{info} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise AnimaticError(f"{info} is not VBench's vbench2_i2v_full_info.json") from error
    chosen = [entry for entry in entries if not dimensions or set(dimensions) & set(entry["dimension"])]
    if not chosen:
        known = sorted({name for entry in entries for name in entry["dimension"]})
        raise AnimaticError(f"{info} has no prompts of {', '.join(dimensions)}; it has {', '.join(known)}")
    prompts = [VBenchPrompt(entry["prompt_en"], _picture(entry, info, pictures)) for entry in chosen]
    _require_files(prompts)
    require_names([prompt.text for prompt in prompts])
    return prompts


def clip_name(prompt: str, index: int) -> str:
    """The file of a prompt's clip ``index``, from 0."""
    return f"{prompt}-{index}.mp4"


def name_problem(prompt: str) -> str:
    """Why a prompt cannot be the name of a file, as "is too long for …"; empty if it can."""
    if not prompt or "/" in prompt or "\0" in prompt or prompt.startswith("."):
        return "cannot be the name of a file"
    try:
        name = clip_name(prompt, 0).encode()
    except UnicodeEncodeError:
        return "cannot be the name of a file"
    return "is too long for the name of a file" if len(name) > _NAME_BYTES else ""


def named_by_key(caption: str, key: str) -> str:
    """A name for a clip whose caption cannot be one alone: as much of it as can, and the clip's key."""
    room = _NAME_BYTES - len(clip_name(f" {key}", 0).encode())
    text = caption.translate({ord("/"): " ", 0: " "}).lstrip(". ").encode(errors="replace")
    return f"{text[:room].decode(errors='ignore')} {key}".strip()


def require_names(prompts: Iterable[str]) -> None:
    """Raise AnimaticError unless each prompt can be a file's name, and no two are equal."""
    seen: set[str] = set()
    for prompt in prompts:
        problem = name_problem(prompt)
        if problem:
            raise AnimaticError(f"prompt {prompt[:80]!r} {problem}, as VBench expects")
        if prompt in seen:
            raise AnimaticError(
                f"prompt {prompt[:80]!r} occurs twice: VBench identifies clips by their prompt"
            )
        seen.add(prompt)


def _picture(entry: _Entry, info: Path, pictures: Path) -> Path:
    name = entry.get("image_name")
    if name is None or Path(name).name != name:
        raise AnimaticError(f"{info}: {entry['prompt_en'][:80]!r} names no picture: update VBench")
    return pictures / name


def _require_files(prompts: Sequence[VBenchPrompt]) -> None:
    missing = sorted({prompt.picture.name for prompt in prompts if not prompt.picture.is_file()})
    if missing:
        raise AnimaticError(
            f"{prompts[0].picture.parent} lacks {len(missing)} pictures ({missing[0]}, …): download VBench's "
            "pictures with its download_data.sh and pass the folder of one aspect ratio"
        )
