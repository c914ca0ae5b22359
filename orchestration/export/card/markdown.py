"""Markdown in which values can neither become markup nor show where this machine keeps its files."""

import re
from collections.abc import Iterable, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.urls import without_credentials

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
# Of a list, heading, quotation or rule.
_AT_START = re.compile(r"^(\d*)([.)](?=\s|$)|[#+=-])")
# "/home/me/clips/a.mp4" in a sentence, but neither "and/or" nor a part of a URL.
_LOCAL_PATH = re.compile(r"(?<![\w:/.~])(?:file://)?(?:~|/)[^\s/|`'\"<>]*(?:/[^\s/|`'\"<>]*)+")


class Markdown(str):
    """Text that is Markdown already: it is displayed as it is."""

    __slots__ = ()


def public(text: str) -> str:
    """A text without credentials of URLs, and with the last part of local paths alone."""
    return _LOCAL_PATH.sub(_last_part, without_credentials(text))


def plain(value: object) -> Markdown:
    """A value in one line of Markdown that displays exactly its characters; works in a table too."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(public(str(value)).split())
    escaped = _MARKUP.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markdown(_AT_START.sub(r"\1\\\2", escaped))


def paragraphs(text: str, otherwise: str = "Not stated.") -> Markdown:
    """A text of several paragraphs and lists as its authors wrote it, but for HTML, pictures and headings."""
    kept = public(text).strip().replace("<", "&lt;").replace("![", r"\![")
    return (
        Markdown(re.sub(r"^(\s*)(#|=|-{2,})", r"\1\\\2", kept, flags=re.MULTILINE))
        if kept
        else plain(otherwise)
    )


def code(value: object) -> Markdown:
    """A digest, identifier or path in fixed width."""
    text = " ".join(public(str(value)).split())
    return plain(text) if re.search(r"[`|\\]", text) or not text else Markdown(f"`{text}`")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table; cells are escaped."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    return Markdown("\n".join(lines))


def render(template: str, **values: object) -> str:
    """A template of this folder; whatever it displays is escaped unless it is :class:`Markdown`."""
    environment = Environment(
        loader=PackageLoader("orchestration.export.card", ""),
        autoescape=False,
        finalize=plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _last_part(found: re.Match[str]) -> str:
    return found[0].rstrip("/").rpartition("/")[2]
