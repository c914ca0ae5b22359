"""What a file is, from its content: downloads and exports often have another name than content."""

from pathlib import Path

from core.errors import AnimaticError

SAFETENSORS, PICKLE = "safetensors", "pickle"
_HEAD = 512
_TAR_MARK = slice(257, 262)
_DOWNLOAD = "download it again"
_UNPACK = "unpack it and name the checkpoint inside"
# Leading bytes, in lower case -> what they begin, and what to do.
_OTHERS = {
    b"<!doctype": ("a web page", _DOWNLOAD),
    b"<html": ("a web page", _DOWNLOAD),
    b"<?xml": ("an XML document, as stores answer with errors", _DOWNLOAD),
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    b"\x1f\x8b": ("compressed with gzip", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", _UNPACK),
    b"\xfd7zxz": ("compressed with xz", _UNPACK),
    b"bzh": ("compressed with bzip2", _UNPACK),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"rar!": ("a RAR archive", _UNPACK),
    b"gguf": ("a GGUF file, whose weights are quantised", "use the original checkpoint"),
    b"\x89hdf": ("an HDF5 file", "use the checkpoint in PyTorch's format"),
    b"{": ("a JSON file, as an index of shards is", "merge the shards into one file"),
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
        head = file.read(_HEAD)
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
    if head[_TAR_MARK] == b"ustar":
        return "a tar archive", _UNPACK
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, found in _OTHERS.items():
        if text.startswith(mark) or head.lower().startswith(mark):
            return found
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head):  # not merely a character cut at the end of what was read
            return "of an unknown format", "name a file in the format of safetensors or torch.save"
    return "a text file", "name a file in the format of safetensors or torch.save"
