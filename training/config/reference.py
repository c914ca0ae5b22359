"""Tables of all keys in docs/configuration.md; ``python -m training.config.reference`` renews them."""

import types
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config.keys import leaves
from training.config import RunConfig

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
_MARK = "<!-- generated: python -m training.config.reference -->\n"


def reference() -> str:
    """Markdown tables, one per section, of every key with its values and meaning."""
    sections: dict[str, list[str]] = {}
    for name, field in leaves(RunConfig):
        section = name.rpartition(".")[0] or "run"
        row = f"| `{name}` | {_values(field)} | {field.description or ''} |"
        sections.setdefault(section, []).append(row)
    tables = (
        f"### {section}\n\n| key | values | meaning |\n|---|---|---|\n" + "\n".join(rows)
        for section, rows in sections.items()
    )
    return "\n\n".join(tables) + "\n"


def renew(document: Path = DOCUMENT) -> None:
    """Put the current tables into the document, below its mark."""
    prose = document.read_text().partition(_MARK)[0]
    document.write_text(prose + _MARK + "\n" + reference())


def _values(field: FieldInfo) -> str:
    return _kind(field.annotation).replace("|", "\\|")


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(str(value) for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if kind is type(None) else _kind(kind) for kind in inner)
    if origin in (list, tuple):
        return "list of " + _kind(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {int: "integer", float: "number", str: "text", bool: "true, false"}
    return names.get(annotation, str(annotation))


if __name__ == "__main__":
    renew()
