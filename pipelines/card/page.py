"""README.md of a dataset: a card as the Hugging Face hub reads it, in Markdown with a head in YAML."""

import re
from collections.abc import Mapping, Sequence

import yaml

from core.licences import OTHER, UNKNOWN
from pipelines.card.records import Card, Most

MARK = "<!-- written by animatic with every change of the dataset; remove this line to keep your own text -->"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGER = ((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))
_MARKUP = re.compile(r"([\\`*_\[\]|~$<>#])")
_UNITS = {"width": "pixels", "height": "pixels", "fps": "frames/s", "seconds": "s", "frames": "frames"}


def readme(card: Card) -> str:
    """The card as Markdown. Values are escaped: none of them becomes markup."""
    stated, counts = card["stated"], card["counts"]
    title = stated.get("title") or f"Dataset {card['digest'][:12]}"
    parts = [
        _head(card, title),
        MARK,
        f"# {_plain(title)}",
        f"{counts['samples']:,} {_noun(card)} ({card['hours']:,.2f} hours) from {counts['rows']:,} rows, in "
        "the WebDataset format of animatic, for training image-to-video models.",
        _table(_facts(card)),
        *_counted("Licences of the rows", card["licences"], "licence"),
        *_counted("Sources of the samples", card["hosts"], "host"),
        *_rejections(card),
        *_origins(card),
        "## Settings that decided it\n\n" + _settings(card),
        "## Reading it\n\n```python\nimport webdataset\n\n"
        f'for sample in webdataset.WebDataset("shard-{{000000..{max(card["shards"] - 1, 0):06d}}}.tar"):\n'
        f"    {_members(card)} = {_values(card)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _noun(card: Card) -> str:
    return "images" if card["settings"].get("kind") == "images" else "clips"


def _members(card: Card) -> str:
    return "image, caption" if _noun(card) == "images" else "clip, image, caption"


def _values(card: Card) -> str:
    members = ("jpg", "txt") if _noun(card) == "images" else ("mp4", "jpg", "txt")
    return ", ".join(f'sample["{member}"]' for member in members)


def _head(card: Card, title: str) -> str:
    licence = card["stated"].get("license", UNKNOWN)
    head: dict[str, object] = {
        "license": licence,
        "task_categories": ["image-to-video"],
        "size_categories": [_size(card["counts"]["samples"])],
        "tags": ["animatic", "video", "webdataset"],
        "pretty_name": title,
    }
    if licence == OTHER:
        head["license_name"] = card["stated"].get("license_name", OTHER)
    if "terms_url" in card["stated"]:
        head["license_link"] = card["stated"]["terms_url"]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _size(samples: int) -> str:
    return next((name for limit, name in (*_SIZES, *_LARGER) if samples < limit), "1B<n<10B")


def _facts(card: Card) -> list[tuple[str, str]]:
    stated, captions, counts = card["stated"], card["captions"], card["counts"]
    licence = stated.get("license", "not stated")
    if stated.get("license_name"):
        licence += f" ({stated['license_name']})"
    removed = card["takedowns"]
    share = captions["some"] / counts["samples"] if counts["samples"] else 0.0
    ranges = [
        (name, f"{low:g} to {high:g} {_UNITS[name]}" if low != high else f"{low:g} {_UNITS[name]}")
        for name, (low, high) in card["ranges"].items()
    ]
    return [
        ("digest", card["digest"]),
        ("licence", licence),
        ("terms", stated.get("terms_url", "not stated")),
        ("source", stated.get("source", "not stated")),
        ("attribution", stated.get("attribution", "not stated")),
        ("shards", f"{card['shards']:,}, {card['bytes']:,} bytes"),
        *ranges,
        ("captions", f"{share:.1%} of the samples have one, {captions['several']:,} have several"),
        ("rejected rows", f"{counts['rejected_rows']:,}"),
        (
            "taken down",
            f"{removed['samples']:,} samples of {removed['videos']:,} videos"
            if removed["takedowns"]
            else "none",
        ),
        ("made by", f"animatic {card['tools']['animatic']}"),
        ("encoders", ", ".join(_names(card["tools"]["encoders"])) or "not recorded"),
    ]


def _names(encoders: object) -> list[str]:
    return list(encoders) if isinstance(encoders, dict) else []


def _counted(title: str, counted: Most, noun: str) -> list[str]:
    if not counted["most"]:
        return []
    rows = [(each["value"], f"{each['samples']:,}") for each in counted["most"]]
    if counted["others"]:
        rows.append((f"{counted['others']:,} others", f"{counted['other_samples']:,}"))
    return [f"## {title}\n\n" + _table(rows, (noun, "samples"))]


def _rejections(card: Card) -> list[str]:
    reasons = sorted(card["counts"]["reasons"].items(), key=lambda item: (-item[1], item[0]))
    if not reasons:
        return []
    return ["## Rejected rows\n\n" + _table([(r, f"{n:,}") for r, n in reasons], ("reason", "rows"))]


def _origins(card: Card) -> list[str]:
    made = card["made_from"]
    if made is None:
        return []
    stated = {origin["digest"]: origin["stated"] for origin in card["origins"]}
    rows = [
        (
            source["digest"],
            f"{source['samples']:,}",
            stated.get(source["digest"], {}).get("license", "not stated"),
            stated.get(source["digest"], {}).get("source", "not stated"),
        )
        for source in made["sources"]
    ]
    left_out = ", ".join(f"{number:,} {reason}" for reason, number in made["left_out"]["samples"].items())
    text = f"By `{made['operation']}`; left out: {_plain(left_out or 'nothing')}."
    return [f"## Made from\n\n{text}\n\n" + _table(rows, ("dataset", "samples", "licence", "source"))]


def _settings(card: Card) -> str:
    rows = list(_flat("", card["settings"]))
    return _table(rows, ("setting", "value")) if rows else "None are recorded."


def _flat(prefix: str, settings: Mapping[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            found += _flat(f"{prefix}{name}.", value)
        elif value is not None and value is not False:
            found.append((f"{prefix}{name}", str(value)))
    return found


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = ("", "")) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text in one line of Markdown that displays its characters."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
