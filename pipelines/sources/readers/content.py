"""Files that are something else than their name says, by their first bytes."""

from core.errors import AnimaticError
from core.file_kinds import FileKind, kind_of

_REPACK = "unpack it, or compress it as .gz, .bz2 or .xz"
_UNPACK = "unpack it, and name the table inside"
_DOWNLOAD = "download the table itself"
# What to do with a file of each kind that may be taken for a table.
_FIXES = {
    FileKind.ARROW: "save it as Parquet",
    FileKind.BZIP2: "name it .bz2",
    FileKind.EXCEL: "save it as CSV",
    FileKind.GIT_LFS: "fetch it with git lfs pull",
    FileKind.GZIP: "name it .gz",
    FileKind.HDF5: "save the table as CSV or Parquet",
    FileKind.LZ4: _REPACK,
    FileKind.PARQUET: "name it .parquet",
    FileKind.PDF: "save the table as CSV",
    FileKind.RAR: _UNPACK,
    FileKind.SEVEN_ZIP: _UNPACK,
    FileKind.SQLITE: "export the table as CSV",
    FileKind.TAR: _UNPACK,
    FileKind.WEB_PAGE: _DOWNLOAD,
    FileKind.XML: _DOWNLOAD,
    FileKind.XZ: "name it .xz",
    FileKind.ZIP: "unpack it, or save it as CSV",
    FileKind.ZSTANDARD: _REPACK,
}


def check_is_text(head: bytes, path: str) -> None:
    """Check that a file's first bytes, decompressed if its name says so, may be those of a table of text.

    Raises AnimaticError that says what the file is, and what to do.
    """
    kind = kind_of(head)
    if kind in _FIXES:
        raise AnimaticError(f"the source table {path} is {kind.value}: {_FIXES[kind]}")
