"""Tables of features: .npy files of rows × dimensions, as any extractor can write them."""

from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError

Table = npt.NDArray[np.floating]

_MAGIC = b"\x93NUMPY"
_FIX = "write it with numpy.save(path, features), features a float array of rows × dimensions"
_ROWS = 1024


def open_table(path: Path) -> Table:
    """A table [n d] of real numbers, memory-mapped: reading it needs no memory for the whole.

    Raises AnimaticError for a file that is missing, is no .npy file, contains pickled objects (which are
    never loaded), is damaged, or has another shape or type.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise AnimaticError(f"{path} {kind}: name an .npy file with features")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise AnimaticError(f"{path} is not an .npy file: {_FIX}")
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, OverflowError, EOFError, TokenError) as error:  # of damaged headers
        reason = " ".join(str(error).split()).rstrip(".")
        raise AnimaticError(f"{path} cannot be read ({reason}): {_FIX}") from error
    if table.dtype.kind not in "fiu":
        raise AnimaticError(f"{path} contains values of type {table.dtype}, not real numbers: {_FIX}")
    if table.ndim != 2 or not table.shape[1]:
        raise AnimaticError(f"{path} has the shape {table.shape}, not (rows, dimensions): {_FIX}")
    return np.asarray(table)


def blocks(table: Table) -> Iterator[Table]:
    """The rows of a table in order, in blocks."""
    for start in range(0, len(table), _ROWS):
        yield table[start : start + _ROWS]
