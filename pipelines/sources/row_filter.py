"""Which rows to take: ``dynamic_confidence > 0.5 and "cat" in name``, parsed and never evaluated as code.

The grammar is Python's, cut down to column names, texts, numbers, lists of these, comparisons, ``in``,
``and``, ``or``, ``not`` and brackets; ``column("a name with blanks")`` names any column.
"""

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import AnimaticError

Record = Mapping[str, str]
Condition = Callable[[Record], bool]
Value = Callable[[Record], Any]

ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
MAX_CHARS = 10_000


def parse_where(text: str, columns: list[str] | None = None) -> Condition:
    """The condition as a function of a record.

    A cell is compared as a number where the other side is one, and as text otherwise; a cell that is no
    number (an empty one, say) meets no comparison with a number, ``!=`` included. ``a in b`` looks for a
    text within a text, or for a value in a list. ``columns``, if given, are the only ones allowed.
    Raises AnimaticError if the text is anything else.
    """
    if len(text) > MAX_CHARS:
        raise AnimaticError(f"the row filter is longer than {MAX_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _Parser(text, columns).condition(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise AnimaticError(
            f"the row filter {text!r} cannot be read ({reason}); "
            "write it as in: width >= 256 and 'cat' in name"
        ) from error


class _Parser:
    def __init__(self, text: str, columns: list[str] | None) -> None:
        self._text, self._columns = text, columns

    def condition(self, node: ast.expr) -> Condition:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(value) for value in node.values]
            if isinstance(node.op, ast.And):
                return lambda record: all(part(record) for part in parts)
            return lambda record: any(part(record) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            return lambda record: not inner(record)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            links = [self._comparison(*link) for link in zip(sides[:-1], node.ops, sides[1:], strict=True)]
            return links[0] if len(links) == 1 else lambda record: all(link(record) for link in links)
        raise self._unusable(node)

    def _comparison(self, left: ast.expr, link: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(link, ast.In | ast.NotIn):
            found = self._membership(left, right)
            return found if isinstance(link, ast.In) else lambda record: not found(record)
        order = ORDERS.get(type(link))
        if order is None:
            raise self._unusable(left)
        return _ordered(order, self._value(left), self._value(right))

    def _membership(self, left: ast.expr, right: ast.expr) -> Condition:
        value = self._value(left)
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            options = [_ordered(operator.eq, value, self._value(option)) for option in right.elts]
            return lambda record: any(option(record) for option in options)
        text = self._value(right)
        return lambda record: str(value(record)) in str(text(record))

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            return self._column(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column":
            match node.args:
                case [ast.Constant(value=str() as name)] if not node.keywords:
                    return self._column(name)
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, node = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                raise self._unusable(node)
        if isinstance(node, ast.Constant) and type(node.value) in (str, int, float):
            constant = node.value if isinstance(node.value, str) else sign * float(node.value)  # type: ignore[arg-type]
            return lambda record: constant
        raise self._unusable(node)

    def _column(self, name: str) -> Value:
        if self._columns is not None and name not in self._columns:
            near = difflib.get_close_matches(name, self._columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._columns)[:200]}"
            raise AnimaticError(f"the row filter names column {name!r}, which the table lacks; {hint}")
        return lambda record: record.get(name, "")

    def _unusable(self, node: ast.expr) -> AnimaticError:
        part = ast.get_source_segment(self._text.strip(), node) or self._text
        return AnimaticError(
            f"the row filter cannot use {part[:100]!r}: only columns, texts, numbers, lists, comparisons, "
            "in, and, or, not"
        )


def _ordered(order: Callable[[Any, Any], bool], left: Value, right: Value) -> Condition:
    def holds(record: Record) -> bool:
        one, other = left(record), right(record)
        if isinstance(one, float) or isinstance(other, float):
            one, other = _number(one), _number(other)
            if one is None or other is None:
                return False
        return order(one, other)

    return holds


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number == number else None
