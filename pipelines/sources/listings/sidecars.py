"""Captions in files beside videos: text, JSON, and subtitles, each of which is a span with its caption."""

import json
import re
from dataclasses import dataclass, field

MAX_BYTES = 1 << 20
_CAPTION_FIELDS = ("caption", "captions", "text", "texts", "prompt", "description")
_TIME = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_CUE = re.compile(rf"\s*({_TIME})\s+-->\s+({_TIME})(?:\s.*)?")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class Described:
    """What a sidecar says about its video: cells of its row.

    Attributes:
        caption: a text, or a list of texts as JSON.
        times: a list of pairs of times as JSON, if the captions are those of spans.
        columns: other fields, of JSON.
        fault: why it cannot be used; empty if it can.
    """

    caption: str = ""
    times: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    fault: str = ""


def described_by(suffix: str, content: bytes) -> Described:
    """What a sidecar with one of SIDECAR_SUFFIXES says."""
    if len(content) > MAX_BYTES:
        return Described(fault=f"its {suffix} is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return Described(fault=f"its {suffix} is not UTF-8")
    if "\0" in text:
        return Described(fault=f"its {suffix} has a NUL")
    if suffix == ".json":
        return _of_json(text)
    return _of_subtitles(text, suffix) if suffix in (".srt", ".vtt") else Described(text.strip())


def _of_json(text: str) -> Described:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Described(fault="its .json cannot be read")
    if not isinstance(value, dict):
        return Described(_captions(value))
    found = (_captions(value.get(name)) for name in _CAPTION_FIELDS)
    columns = {name: _cell(cell) for name, cell in value.items()}
    return Described(next(filter(None, found), ""), columns=columns)


def _captions(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list):
        return ""
    texts = [item.get("caption") if isinstance(item, dict) else item for item in value]
    texts = [text for text in texts if isinstance(text, str) and text.strip()]
    return json.dumps(texts, ensure_ascii=False) if texts else ""


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _of_subtitles(text: str, suffix: str) -> Described:
    """Each cue is a span; cues without text or duration are none."""
    times: list[list[str]] = []
    captions: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip().split("\n")
        index = next((number for number, line in enumerate(lines[:2]) if _CUE.fullmatch(line)), None)
        if index is None:
            continue
        match = _CUE.fullmatch(lines[index])
        assert match is not None
        start, end = (time.replace(",", ".") for time in match.groups())
        caption = " ".join(_TAG.sub("", " ".join(lines[index + 1 :])).split())
        if caption and _seconds(start) < _seconds(end):
            times.append([start, end])
            captions.append(caption)
    if not captions:
        return Described(fault=f"its {suffix} has no cue")
    return Described(json.dumps(captions, ensure_ascii=False), json.dumps(times))


def _seconds(time: str) -> float:
    seconds = 0.0
    for part in time.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
