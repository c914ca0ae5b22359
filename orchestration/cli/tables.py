"""Tables of text: whole in a pipe or a file, wrapped on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.cli.streams import printable

GAP = 2
LEAST_FOLDED = 16  # cells of the one column that is folded where a table is too wide


def write_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table; None becomes a dash.

    Where it is wider than a terminal, its widest column is folded; where that does not help, every row is
    written as a block with a line for each cell. Nothing is ever cut.
    """
    cells = [["-" if cell is None else printable(str(cell), keep="") for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    excess = sum(widths) + GAP * (len(widths) - 1) - console.width
    if not console.is_terminal:
        for line in [list(columns), *cells]:
            _write_line(console, line, widths)
    elif excess <= 0 or max(widths) - excess >= LEAST_FOLDED:
        console.print(_folded(columns, cells, widths), soft_wrap=False)
    else:
        _write_blocks(console, columns, cells)


def _write_line(console: Console, cells: Sequence[str], widths: Sequence[int]) -> None:
    padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
    console.print((" " * GAP).join(padded).rstrip(), markup=False, soft_wrap=True)


def _folded(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    widest = widths.index(max(widths))
    for number, name in enumerate(columns):
        table.add_column(Text(name), no_wrap=number != widest, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _write_blocks(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, cell in zip(columns, row, strict=True):
            if cell:
                console.print(f"{name}: {cell}" if name else cell, markup=False, soft_wrap=True)
