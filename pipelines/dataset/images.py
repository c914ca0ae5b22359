"""Plain image WebDatasets (``KEY.jpg`` + ``KEY.txt``, as img2dataset writes them) made readable for stage 1.

The tars stay as they are; ``dataset.json`` and the tables go beside them, and the folder is a dataset whose
samples have no clip.
"""

import contextlib
import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from PIL import Image

from core.errors import AnimaticError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset.dataset import dataset_digest
from pipelines.dataset.tables import REJECTS_SCHEMA, SAMPLES_SCHEMA, TableWriter
from pipelines.dataset.units import FORMAT
from pipelines.video.frames import UNREADABLE_IMAGE

IMAGES = ("jpg", "jpeg", "png", "webp")
CONFIG = {"kind": "images"}
_MEND = "get it again, or take it away"


def index_images(
    url: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Put a dataset's tables beside the tars of a folder or URL; returns the content of dataset.json.

    Samples without image or caption are rejected and counted. ``progress`` gets (tars done, tars).
    Raises AnimaticError if there are no tars, one of them is cut, or the folder holds an ingested dataset.
    """
    folder = Folder(url)
    names = [name for name in folder.names() if name.endswith(".tar")]
    if not names:
        raise AnimaticError(f"no tars in {folder}; name the folder that img2dataset wrote")
    if folder.exists("ingest.json"):
        raise AnimaticError(f"{folder} was made by `animatic ingest`: train on it as it is")

    shards, digests, reasons = _write_tables(folder, names, progress)
    found = sum(shard["samples"] for shard in shards)
    counts = {
        "rows": found + reasons.total(),
        "samples": found,
        "rejected_rows": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
        "dropped_clips": {},
    }
    info = {"format": FORMAT, "config": CONFIG, "counts": counts, "shards": shards, "files": digests}
    info["digest"] = dataset_digest(info)
    folder.write("dataset.json", json.dumps(info, indent=1).encode())
    return info


def _write_tables(
    folder: Folder, names: list[str], progress: Callable[[int, int], None]
) -> tuple[list[dict[str, Any]], dict[str, str], Counter[str]]:
    """Shards, digests of the tables, and how many samples were rejected for what."""
    shards: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    with contextlib.ExitStack() as files:
        parts = {n: files.enter_context(folder.creating(n)) for n in ("samples.parquet", "rejects.parquet")}
        with (
            TableWriter(parts["samples.parquet"], SAMPLES_SCHEMA) as samples,
            TableWriter(parts["rejects.parquet"], REJECTS_SCHEMA) as rejects,
        ):
            for done, name in enumerate(names, start=1):
                shard, rows, faults = _read_tar(folder, name)
                shards.append(shard)
                samples.add(rows)
                rejects.add({**fault, "row": reasons.total() + n} for n, fault in enumerate(faults))
                reasons.update(fault["reason"] for fault in faults)
                progress(done, len(names))
        if not any(shard["samples"] for shard in shards):
            raise AnimaticError(f"{folder}: no tar holds an image with a caption ({dict(reasons)})")
        digests = {name: sha256(part) for name, part in parts.items()}
        # Until it is there again, the tables may be those of other tars than it tells of.
        folder.remove("dataset.json")
    return shards, digests, reasons


@dataclass
class _Sample:
    """What a tar holds of one key."""

    places: list[tuple[int, int]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    caption: str | None = None


class _Hashed:
    """A file read from front to back, hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash, self.bytes, self.tail = hashlib.sha256(), 0, b""

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        self.bytes += len(data)
        self.tail = (self.tail + data)[-2 * tarfile.BLOCKSIZE :]
        return data


def _read_tar(folder: Folder, name: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    samples: dict[str, _Sample] = {}
    with folder.open(name) as file:
        hashed = _Hashed(file)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, hashed), mode="r|") as tar:
                for member in tar:
                    _note(samples, tar, member)
        except tarfile.TarError as error:
            raise AnimaticError(f"{folder}/{name} is cut or damaged ({error}): {_MEND}") from error
        while hashed.read(1 << 20):
            pass
    if hashed.tail.strip(b"\0"):
        # A tar cut between two members reads without an error.
        raise AnimaticError(f"{folder}/{name} is cut, it has no end: {_MEND}")
    shard = {"name": name, "sha256": hashed.hash.hexdigest(), "bytes": hashed.bytes}
    rows, rejected = _sorted_out(name, samples)
    return shard | {"samples": len(rows)}, rows, rejected


def _note(samples: dict[str, _Sample], tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    folder, _, name = member.name.rpartition("/")
    key, _, kind = name.partition(".")
    if not member.isfile() or not key:
        return
    sample = samples.setdefault(f"{folder}/{key}" if folder.strip(".") else key, _Sample())
    if kind.lower() in IMAGES:
        data = _content(tar, member)
        sample.places.append((member.offset_data, member.size))
        with contextlib.suppress(*UNREADABLE_IMAGE), Image.open(io.BytesIO(data)) as image:
            sample.size = image.size
    elif kind == "txt":
        sample.caption = _content(tar, member).decode("utf-8", "replace").strip()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _sorted_out(shard: str, samples: dict[str, _Sample]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows, rejected = [], []
    for key, sample in samples.items():
        reason = _fault(sample)
        if reason is not None:
            rejected.append({"source_id": key, "reason": reason, "detail": shard, "record": "{}"})
            continue
        assert sample.size is not None
        about = {"source_id": key, "caption": sample.caption, "frames": 0, "fps": 0.0, "duration": 0.0}
        place = {"jpg_offset": sample.places[0][0], "jpg_size": sample.places[0][1]}
        size = {"width": sample.size[0], "height": sample.size[1]}
        # Keys of one tar may come back in another.
        rows.append({"key": f"{shard.removesuffix('.tar')}-{key}", "shard": shard, **place, **about, **size})
    return rows, rejected


def _fault(sample: _Sample) -> str | None:
    if not sample.places:
        return "no_image"
    if sample.size is None:
        return "corrupt"
    return None if sample.caption else "no_caption"
