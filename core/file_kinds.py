"""What a file is, from its first bytes: downloads and exports often have another name than content."""

from enum import Enum

HEAD_BYTES = 512  # enough for every signature
_TAR_MARK = slice(257, 262)
_BLANKS = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, too


class FileKind(Enum):
    """A kind of file, as a message names it: the file is …"""

    ARROW = "an Arrow file"
    BZIP2 = "compressed with bzip2"
    EXCEL = "an Excel workbook"
    GGUF = "a GGUF file, whose weights are quantised"
    GIT_LFS = "a Git LFS pointer, not the file itself"
    GZIP = "compressed with gzip"
    HDF5 = "an HDF5 file"
    LZ4 = "compressed with LZ4"
    PARQUET = "a Parquet file"
    PDF = "a PDF file"
    RAR = "a RAR archive"
    SEVEN_ZIP = "a 7z archive"
    SQLITE = "an SQLite database"
    TAR = "a tar archive"
    WEB_PAGE = "a web page"
    XML = "an XML document, as stores answer with errors"
    XZ = "compressed with xz"
    ZIP = "a zip archive or an Excel workbook"
    ZSTANDARD = "compressed with Zstandard"


_SIGNATURES = {
    b"\x04\x22\x4d\x18": FileKind.LZ4,
    b"\x1f\x8b": FileKind.GZIP,
    b"\x28\xb5\x2f\xfd": FileKind.ZSTANDARD,
    b"\x89HDF": FileKind.HDF5,
    b"\xd0\xcf\x11\xe0": FileKind.EXCEL,
    b"\xfd7zXZ": FileKind.XZ,
    b"%PDF": FileKind.PDF,
    b"7z\xbc\xaf": FileKind.SEVEN_ZIP,
    b"ARROW1": FileKind.ARROW,
    b"BZh": FileKind.BZIP2,
    b"GGUF": FileKind.GGUF,
    b"PAR1": FileKind.PARQUET,
    b"PK\x03\x04": FileKind.ZIP,
    b"Rar!": FileKind.RAR,
    b"SQLite format 3\0": FileKind.SQLITE,
}
# Of texts, in lower case, after blanks.
_BEGINNINGS = {
    b"<!doctype": FileKind.WEB_PAGE,
    b"<html": FileKind.WEB_PAGE,
    b"<?xml": FileKind.XML,
    b"version https://git-lfs": FileKind.GIT_LFS,
}


def kind_of(head: bytes) -> FileKind | None:
    """The kind of a file with these first bytes, up to ``HEAD_BYTES`` of them; None for any other."""
    if head[_TAR_MARK] == b"ustar" and b"\0" in head[: _TAR_MARK.start]:  # a text may mention mustard there
        return FileKind.TAR
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    text = head.lstrip(_BLANKS).lower()
    return next((kind for beginning, kind in _BEGINNINGS.items() if text.startswith(beginning)), None)
