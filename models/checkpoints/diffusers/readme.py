"""The README of the folder: what each part is, what loads it, what is left out."""

from collections.abc import Mapping, Sequence

from models.checkpoints.diffusers.part import Part


def readme(
    bundle_id: str,
    parts: Sequence[Part],
    left_out: Mapping[str, str],
    digests: Mapping[str, str],
    sizes: Mapping[str, int],
) -> str:
    """Markdown. ``digests`` and ``sizes`` (bytes) are by path."""
    loaded = [part for part in parts if part.reader]
    lines = [
        "# Parts for diffusers and transformers",
        "",
        f"Of bundle {bundle_id}. Encoders and autoencoder are in float32.",
        "There is no `model_index.json`: diffusers has no pipeline for this network.",
        "",
        "| folder | loaded by | remarks |",
        "|---|---|---|",
        *(f"| `{part.name}` | {_code(part.reader) or 'animatic'} | {part.remark} |" for part in parts),
        *(f"| `{name}` | not written | {reason} |" for name, reason in left_out.items()),
        "",
        "```python",
        *sorted(f"import {package}" for package in {part.reader.partition(".")[0] for part in loaded}),
        "",
        *(f'{part.name} = {part.reader}.from_pretrained("{part.name}")' for part in loaded),
        "```",
        "",
        "| file | bytes | sha256 |",
        "|---|---|---|",
        *(f"| `{name}` | {sizes[name]:,} | `{digest}` |" for name, digest in digests.items()),
    ]
    return "\n".join(lines) + "\n"


def _code(reader: str) -> str:
    return f"`{reader}`" if reader else ""
