"""How a set of tensors differs from the expected one, in one line of text."""

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
    """Tensors that are missing, unexpected, or of another shape; falsy where nothing differs.

    Attributes:
        missing, unexpected: names, in order.
        reshaped: name -> (shape found, shape expected).
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
                f"{name} is {found}, not {expected}"
                for name, (found, expected) in list(self.reshaped.items())[:_LISTED]
            ]
            listed = _capped(shapes, len(self.reshaped))
            parts.append(f"of another shape {_counted(listed, len(self.reshaped))}")
        return "; ".join(parts)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Name -> shape of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def compare(found: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]]) -> StateDictDiff:
    """Compare tensors by name and shape.

    Args:
        found, expected: name -> shape.
    """
    return StateDictDiff(
        missing=tuple(name for name in expected if name not in found),
        unexpected=tuple(name for name in found if name not in expected),
        reshaped={
            name: (tuple(found[name]), tuple(shape))
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        },
    )


def listing(names: Iterable[str]) -> str:
    """Names grouped by module, as in ``output_blocks.3.1.* (26)``, the largest groups first.

    The same parameter of many modules is grouped by its name instead, numbers as ``#``, where that is
    shorter; where both ways give many groups, they are merged into those of enclosing modules.
    """
    names = list(names)
    by_module, by_parameter = _grouped(names, _module), _grouped(names, lambda name: _NUMBERS.sub("#", name))
    groups = min(by_module, by_parameter, key=len)
    for depth in (3, 2, 1):
        if len(groups) > _LISTED:
            groups = _grouped(names, partial(_beginning, depth=depth))
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:_LISTED]
    listed = [f"{group} ({len(part)})" if len(part) > 1 else part[0] for group, part in largest]
    return _capped(listed, len(groups))


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


def _capped(listed: list[str], count: int) -> str:
    more = f" and {count - len(listed)} more" if count > len(listed) else ""
    return ", ".join(listed) + more


def _counted(listed: str, count: int) -> str:
    return listed if count == 1 else f"{count}: {listed}"
