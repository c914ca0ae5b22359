"""How a set of tensors differs from the one that is wanted, told in one line."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

Shape = tuple[int, ...]
_LISTED = 8
_NUMBERS = re.compile(r"(?<=\.)\d+(?=\.|$)")
_NUMBERED_MODULE = re.compile(r"(.*?\.\d+(?:\.\d+)*)\.")


@dataclass(frozen=True)
class StateDictDiff:
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


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Name -> shape of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def compare(found: Mapping[str, Sequence[int]], wanted: Mapping[str, Sequence[int]]) -> StateDictDiff:
    """Compare tensors by name and shape.

    Args:
        found, wanted: name -> shape.
    """
    return StateDictDiff(
        missing=tuple(name for name in wanted if name not in found),
        unexpected=tuple(name for name in found if name not in wanted),
        reshaped={
            name: (tuple(found[name]), tuple(shape))
            for name, shape in wanted.items()
            if name in found and tuple(found[name]) != tuple(shape)
        },
    )


def listing(names: Iterable[str]) -> str:
    """Names grouped by module, as in ``output_blocks.3.1.* (26)``, the largest groups first.

    The same parameter of many modules is grouped by its name instead, numbers as ``#``, where that is
    shorter; where there are many groups either way, larger modules stand for theirs.
    """
    names = list(names)
    by_module, by_parameter = _grouped(names, _module), _grouped(names, lambda name: _NUMBERS.sub("#", name))
    groups = min(by_module, by_parameter, key=len)
    for depth in (3, 2, 1):
        if len(groups) > _LISTED:
            groups = _grouped(names, partial(_beginning, depth=depth))
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:_LISTED]
    shown = [f"{group} ({len(part)})" if len(part) > 1 else part[0] for group, part in largest]
    return _capped(shown, len(groups))


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _module(name: str) -> str:
    numbered = _NUMBERED_MODULE.match(name)
    module = numbered[1] if numbered else name.rpartition(".")[0]
    return f"{module}.*" if module else name


def _beginning(name: str, depth: int) -> str:
    parts = name.split(".")
    return ".".join(parts[:depth]) + ".*" if len(parts) > depth else name


def _capped(shown: list[str], count: int) -> str:
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return ", ".join(shown) + more


def _counted(shown: str, count: int) -> str:
    return shown if count == 1 else f"{count}: {shown}"
