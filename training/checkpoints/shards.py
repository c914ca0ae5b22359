"""Shards of a checkpoint: one file for each process that wrote it, with its pieces of all tensors.

A shard is a safetensors file: one flat tensor for each piece, by the piece's key. The file's metadata states
where the pieces belong: ``pieces`` is a JSON object with ``[start, whole]`` by key.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core.errors import AnimaticError
from training.checkpoints.manifest import FileRecord
from training.checkpoints.state import Pieces

SUFFIX = ".safetensors"
_METADATA = "pieces"
_BLOCK = 1 << 24  # bytes that are written and digested at once
_FLOAT = 4  # bytes of a value


class Span(NamedTuple):
    """The position of a piece in its tensor: ``size`` values from ``start``, of ``whole``."""

    start: int
    size: int
    whole: int


def shard_name(rank: int) -> str:
    """File name of a process's shard."""
    return f"rank-{rank:05d}{SUFFIX}"


def write_shard(path: Path, pieces: Pieces) -> FileRecord:
    """Write the pieces of a process durably; size and digest of the file.

    Each value is read once: neither the file nor its digest needs memory for a second copy. The large writes
    leave other threads the interpreter.

    Raises ValueError for values that are not fp32, and OSError.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:
        for block in _blocks(pieces):
            rest = block
            while rest:  # a write may stop early, as at 2 GiB or where a disk becomes full
                rest = rest[file.write(rest) :]
            digest.update(block)
            size += len(block)
        os.fsync(file.fileno())
    return FileRecord(bytes=size, sha256=digest.hexdigest())


def read_spans(path: Path) -> dict[str, Span]:
    """Where the pieces of a shard belong, by key; from its header, without reading its values.

    Raises AnimaticError when the file is missing or no shard.
    """
    try:
        with safe_open(path, framework="pt") as file:
            positions: dict[str, list[int]] = json.loads((file.metadata() or {})[_METADATA])
            return {
                key: Span(start, file.get_slice(key).get_shape()[0], whole)
                for key, (start, whole) in positions.items()
            }
    except FileNotFoundError as error:
        raise AnimaticError(f"{path} is missing") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise AnimaticError(f"{path} is not a shard of a checkpoint: {error}") from error


def _blocks(pieces: Pieces) -> Iterator[memoryview]:
    """The bytes of a shard, in parts."""
    yield memoryview(_header(pieces))
    for piece in pieces.values():
        content = _content(piece.values)
        for begin in range(0, len(content), _BLOCK):
            yield content[begin : begin + _BLOCK]


def _header(pieces: Pieces) -> bytes:
    """As https://github.com/huggingface/safetensors#format describes it."""
    entries: dict[str, object] = {
        "__metadata__": {
            _METADATA: json.dumps(
                {key: [piece.start, piece.whole] for key, piece in pieces.items()}, separators=(",", ":")
            )
        }
    }
    end = 0
    for key, piece in pieces.items():
        if piece.values.dtype != torch.float32:
            raise ValueError(f"{key} has values of {piece.values.dtype}, not fp32")
        begin, end = end, end + piece.values.numel() * _FLOAT
        entries[key] = {"dtype": "F32", "shape": [piece.values.numel()], "data_offsets": [begin, end]}
    content = json.dumps(entries, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)  # values are aligned
    return len(content).to_bytes(8, "little") + content


def _content(values: Tensor) -> memoryview:
    return values.detach().cpu().contiguous().view(torch.uint8).numpy().data
