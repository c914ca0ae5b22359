"""Files that are something else than their name says, by their first bytes."""

from core.errors import AnimaticError

_SIGNATURES = (
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it, or compress it as .gz, .bz2 or .xz"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", "unpack it, or compress it as .gz, .bz2 or .xz"),
    (b"\x1f\x8b", "compressed with gzip", "name it .gz"),
    (b"BZh", "compressed with bzip2", "name it .bz2"),
    (b"\xfd7zXZ\0", "compressed with xz", "name it .xz"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save it as CSV"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"ARROW1", "an Arrow file", "save it as Parquet"),
    (b"%PDF", "a PDF file", "save the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as CSV or Parquet"),
)
_PAGE = (b"<!doctype html", b"<html", b"<?xml")
_GIT_LFS = b"version https://git-lfs.github.com/spec/"


def check_is_text(head: bytes, path: str) -> None:
    """Check that a file's first bytes, decompressed if its name says so, may be those of a table of text.

    Raises AnimaticError that says what the file is, and what to do.
    """
    for signature, what, fix in _SIGNATURES:
        if head.startswith(signature):
            raise AnimaticError(f"the source table {path} is {what}: {fix}")
    if head.lstrip()[:14].lower().startswith(_PAGE):
        raise AnimaticError(f"the source table {path} is a page of the web or XML: download the table itself")
    if head.startswith(_GIT_LFS):
        raise AnimaticError(f"the source table {path} is a pointer of Git LFS: fetch it with git lfs pull")
