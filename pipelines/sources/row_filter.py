"""Which rows to take: ``dynamic_confidence > 0.5 and "cat" in name``, parsed and never evaluated as code.

The grammar is Python's, restricted to column names, texts, numbers, lists of these, comparisons, ``in``,
``and``, ``or``, ``not`` and brackets; ``column("a name with blanks")`` names any column.
"""

import ast
import difflib
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import AnimaticError

Record = Mapping[str, str]
Value = str | float
Condition = Callable[[Record], bool]
Operand = Callable[[Record], Value]

# Any: both operands are texts or both are numbers.
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MAX_CHARS = 10_000


def parse_row_filter(text: str, columns: list[str] | None = None) -> Condition:
    """The condition as a function of a record.

    A cell is compared as a number if the other operand is one, and as text otherwise; a cell that is not a
    number (an empty one, say) meets no comparison with a number, not even ``!=``. ``a in b`` looks for a text
    within a text, or for a value in a list.

    Args:
        text: the filter.
        columns: the only ones allowed; None allows any.

    Raises AnimaticError if the text is not such a filter.
    """
    if len(text) > _MAX_CHARS:
        raise AnimaticError(f"the row filter is longer than {_MAX_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _Parser(text, columns).condition(tree)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise AnimaticError(
            f"the row filter {text!r} cannot be read ({reason}); "
            "write it as in: width >= 256 and 'cat' in name"
        ) from error


class _Parser:
    """Turns nodes of Python's syntax tree into functions of a record."""

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
        order = _ORDERS.get(type(link))
        if order is None:
            raise self._unusable(left)
        return _ordered(order, self._operand(left), self._operand(right))

    def _membership(self, left: ast.expr, right: ast.expr) -> Condition:
        value = self._operand(left)
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            options = [_ordered(operator.eq, value, self._operand(option)) for option in right.elts]
            return lambda record: any(option(record) for option in options)
        text = self._operand(right)
        return lambda record: str(value(record)) in str(text(record))

    def _operand(self, node: ast.expr) -> Operand:
        match node:
            case ast.Name(id=name):
                return self._column(name)
            case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str() as name)], keywords=[]):
                return self._column(name)
            case ast.Constant(value=str() as text):
                return lambda record: text
        number = _constant(node)
        if number is None:
            raise self._unusable(node)
        return lambda record: number

    def _column(self, name: str) -> Operand:
        if self._columns is not None and name not in self._columns:
            nearest = difflib.get_close_matches(name, self._columns, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has: {', '.join(self._columns)[:200]}"
            raise AnimaticError(f"the row filter names column {name!r}, which the table lacks; {hint}")
        return lambda record: record.get(name, "")

    def _unusable(self, node: ast.expr) -> AnimaticError:
        part = ast.get_source_segment(self._text.strip(), node) or self._text
        return AnimaticError(
            f"the row filter cannot use {part[:100]!r}: only columns, texts, numbers, lists, comparisons, "
            "in, and, or, not"
        )


def _constant(node: ast.expr) -> float | None:
    """The number that a node is, with its sign; None for anything else."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as inner):
            number = _constant(inner)
            return None if number is None else -number
        case ast.UnaryOp(op=ast.UAdd(), operand=ast.Constant() as inner):
            return _constant(inner)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
    return None


def _ordered(order: Callable[[Any, Any], bool], left: Operand, right: Operand) -> Condition:
    def is_met(record: Record) -> bool:
        one, other = left(record), right(record)
        if isinstance(one, float) or isinstance(other, float):
            numbers = _number(one), _number(other)
            return None not in numbers and order(*numbers)
        return order(one, other)

    return is_met


def _number(value: Value) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number
