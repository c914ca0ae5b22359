"""Reads a W&B offline run file: LevelDB log framing around protobuf records, checksums checked."""

import contextlib
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32 * 1024
FRAME = 7
FULL, FIRST, LAST = 1, 2, 4


def records(path: Path) -> list[Any]:
    """Every record of a ``run-*.wandb`` file; fails on a bad header or checksum."""
    data = path.read_bytes()
    ident, magic, _ = struct.unpack("<4sHB", data[:FRAME])
    assert (ident, magic) == (b":W&B", 0xBEE1)
    position, whole, found = FRAME, b"", []
    while position < len(data):
        room = BLOCK - position % BLOCK
        if room < FRAME:
            position += room
            continue
        checksum, length, kind = struct.unpack("<IHB", data[position : position + FRAME])
        part = data[position + FRAME : position + FRAME + length]
        assert zlib.crc32(bytes([kind]) + part) == checksum
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            found.append(record)
        position += FRAME + length
    return found


def finished_records(path: Path, timeout_s: float = 60) -> list[Any]:
    """Every record, once the last is written: W&B reports the end of a run before its file is complete."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError, struct.error):
            found = records(path)
            if found and found[-1].WhichOneof("record_type") == "exit":
                return found
        time.sleep(0.02)
    raise TimeoutError(f"{path} is not finished after {timeout_s:g} s")


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows logged to all finished offline runs below ``folder``, in order of the runs."""
    rows = []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for record in finished_records(path):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
    return rows
