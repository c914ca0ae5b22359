"""What a file is, from its content: downloads and exports often have another name than content."""

from pathlib import Path

from core.errors import AnimaticError
from core.file_kinds import HEAD_BYTES, FileKind, kind_of

SAFETENSORS, PICKLE = "safetensors", "pickle"
_DOWNLOAD = "download it again"
_NAME = "name a file in the format of safetensors or torch.save"
_UNPACK = "unpack it and name the checkpoint inside"
# Other kinds are archives, or compressed.
_FIXES = {
    FileKind.GGUF: "use the original checkpoint",
    FileKind.GIT_LFS: "run `git lfs pull`",
    FileKind.HDF5: "use the checkpoint in PyTorch's format",
    FileKind.WEB_PAGE: _DOWNLOAD,
    FileKind.XML: _DOWNLOAD,
    **dict.fromkeys((FileKind.ARROW, FileKind.EXCEL, FileKind.PARQUET, FileKind.PDF, FileKind.SQLITE), _NAME),
}
_ZIP, _PROTOCOL = b"PK\x03\x04", b"\x80"


def file_kind(path: Path) -> str:
    """``safetensors`` or ``pickle``, as ``torch.save`` writes: a zip archive of a pickle, or a bare pickle.

    Raises:
        AnimaticError: the file is missing or anything else; the message names what it is.
    """
    if path.is_dir():
        raise AnimaticError(f"{path} is a folder: name the checkpoint file in it")
    if not path.is_file():
        raise AnimaticError(f"no checkpoint at {path}")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        _check_whole(path, 8 + int.from_bytes(head[:8], "little"), size)
        return SAFETENSORS
    if head.startswith((_ZIP, _PROTOCOL)):
        return PICKLE
    what, fix = _described(head)
    raise AnimaticError(f"{path} is no checkpoint but {what}: {fix}")


def _check_whole(path: Path, header: int, size: int) -> None:
    if size < header:
        raise AnimaticError(
            f"{path} is cut short: its header ends at byte {header:,}, the file has {size:,}; {_DOWNLOAD}"
        )


def _described(head: bytes) -> tuple[str, str]:
    if not head:
        return "empty", _DOWNLOAD
    if not any(head):
        return "zero bytes, as an interrupted download leaves", _DOWNLOAD
    kind = kind_of(head)
    if kind is not None:
        return kind.value, _FIXES.get(kind, _UNPACK)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "a JSON file, as an index of shards is", "merge the shards into one file"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head):  # not merely a character cut at the end of what was read
            return "of an unknown format", _NAME
    return "a text file", _NAME
