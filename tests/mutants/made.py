"""Mutants made from the syntax tree: operators, boundaries, constants, conditions, dropped calls."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutant import Mutant

_OPERATORS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
# What these contain is text for people, or only describes types.
_SKIPPED = (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)
EQUIVALENT = Path(__file__).parent / "equivalent.toml"


def made_mutants(root: Path, file: str, tests: tuple[str, ...]) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines; those known to be equivalent say why."""
    source = (root / file).read_text()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    equivalents = _equivalents(file)
    mutants = []
    for node, replacement in _changes(ast.parse(source)):
        begin, end = _span(node, source, starts)
        original = source[begin:end]
        number = source.count("\n", 0, begin)
        before = source.splitlines()[number].strip()
        reason = equivalents.get((before, replacement), "")
        name = f"{file}:{number + 1}:{begin - starts[number]}"
        mutants.append(Mutant(name, file, begin, original, replacement, tests, reason))
    return sorted(mutants, key=lambda mutant: mutant.position)


def _equivalents(file: str) -> dict[tuple[str, str], str]:
    """Reasons by the line of the original, and the replacement."""
    entries = tomllib.loads(EQUIVALENT.read_text()).get("equivalent", [])
    return {(e["line"], e["replacement"]): e["reason"] for e in entries if e["file"] == file}


def _span(node: ast.AST, source: str, starts: list[int]) -> tuple[int, int]:
    """Characters of a node; the syntax tree counts bytes within lines."""
    lines = source.splitlines(keepends=True)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes, and the text that takes their place."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _SKIPPED) or _is_log(node) or _is_type_checking(node):
            continue
        yield from _of_node(node)
        waiting += _children(node)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Children that can change what the code does."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        yield from (
            child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
        )


def _is_log(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).startswith(("log.", "logger."))
    )


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _of_node(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _OPERATORS:
            changed = ast.Compare(node.left, [_OPERATORS[type(operator)]()], node.comparators)
            yield node, f"({ast.unparse(changed)})"
        case ast.Compare(ops=operators):
            for number, operator in enumerate(operators):
                others = [*operators[:number], _OPERATORS[type(operator)](), *operators[number + 1 :]]
                yield node, f"({ast.unparse(ast.Compare(node.left, others, node.comparators))})"
        case ast.BoolOp():
            yield node, f"({ast.unparse(ast.BoolOp(_OPERATORS[type(node.op)](), node.values))})"
        case ast.BinOp() if type(node.op) in _OPERATORS and not _is_text(node):
            yield node, f"({ast.unparse(ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right))})"
        case ast.AugAssign() if type(node.op) in _OPERATORS:
            changed = ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
            yield node, ast.unparse(changed)
        case ast.UnaryOp(op=ast.Not()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() as value):
            yield node, str(value + 1)
        case ast.Constant(value=float() as value):
            yield node, repr(value * 2 + 1)
        case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield node.test, f"(not ({ast.unparse(node.test)}))"
        case ast.Expr(value=ast.Call()):
            yield node, "pass"


def _is_text(node: ast.BinOp) -> bool:
    """Whether text is joined: without its parts it is an error at once."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )
