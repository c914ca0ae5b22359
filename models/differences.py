"""How a set of tensors differs from the one that is wanted, told in one line."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
_LISTED = 8
_NUMBERS = re.compile(r"(?<=\.)\d+(?=\.|$)")
_NUMBERED_MODULE = re.compile(r"(.*?\.\d+(?:\.\d+)*)\.")


@dataclass(frozen=True)
class Differences:
    """Names that are absent, superfluous, or of another shape; falsy where there are none.

    Attributes:
        missing, unexpected: names, in order.
        reshaped: name -> (shape found, shape wanted).
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def __str__(self) -> str:
        parts = [
            f"{word} {_counted(listing(names), len(names))}"
            for word, names in (("missing", self.missing), ("unexpected", self.unexpected))
            if names
        ]
        if self.reshaped:
            shapes = [
                f"{name} is {found}, not {wanted}"
                for name, (found, wanted) in list(self.reshaped.items())[:_LISTED]
            ]
            shown = _capped(shapes, len(self.reshaped))
            parts.append(f"of another shape {_counted(shown, len(self.reshaped))}")
        return "; ".join(parts)


def compare(found: Mapping[str, Sequence[int]], wanted: Mapping[str, Sequence[int]]) -> Differences:
    """Compare tensors by name and shape.

    Args:
        found, wanted: name -> shape.
    """
    return Differences(
        missing=tuple(name for name in wanted if name not in found),
        unexpected=tuple(name for name in found if name not in wanted),
        reshaped={
            name: (tuple(found[name]), tuple(shape))
            for name, shape in wanted.items()
            if name in found and tuple(found[name]) != tuple(shape)
        },
    )


def listing(names: Iterable[str]) -> str:
    """Names grouped by module, as in ``output_blocks.3.1.* (26)``.

    The same parameter of many modules is grouped by its name instead, numbers as ``#``, where that is shorter.
    """
    names = list(names)
    modules = _grouped(names, _module)
    patterns = _grouped(names, lambda name: _NUMBERS.sub("#", name))
    groups = min(modules, patterns, key=len)
    shown = [f"{group} ({len(part)})" if len(part) > 1 else part[0] for group, part in groups.items()]
    return _capped(shown[:_LISTED], len(shown), "groups")


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _module(name: str) -> str:
    numbered = _NUMBERED_MODULE.match(name)
    return f"{numbered[1] if numbered else name.rpartition('.')[0]}.*".lstrip(".")


def _capped(shown: list[str], count: int, unit: str = "") -> str:
    more = f" and {count - len(shown)} more{' ' + unit if unit else ''}" if count > len(shown) else ""
    return ", ".join(shown) + more


def _counted(shown: str, count: int) -> str:
    return shown if count == 1 else f"{count}: {shown}"
