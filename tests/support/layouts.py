"""Bundles at full size that take no space: real headers, real shapes, and a hole for the weights."""

import hashlib
import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path

from models.architecture import Architecture
from models.bundle import BundleInfo
from tests.support.paths import PUBLIC_KEYS

_BYTES = {"F32": 4, "F16": 2}

Shape = tuple[int, ...]


def published(name: str) -> dict[str, Shape]:
    """Key -> shape of a published checkpoint's network (autoencoder, encoders and schedule left out)."""
    rows = [line.split("\t") for line in (PUBLIC_KEYS / f"{name}.tsv").read_text().splitlines()]
    return {
        key.replace("framestride_embed", "fps_embedding"): tuple(map(int, shape.split("x"))) if shape else ()
        for key, shape in rows
        if key.startswith(("model.", "image_proj_model."))
    }


def hollow_bundle(
    folder: Path,
    layout: Mapping[str, Shape],
    architecture: Architecture,
    stage: int = 0,
    dtype: str = "F32",
    *,
    digest: bool = False,
) -> Path:
    """A bundle whose weights are zeros that no disk holds; it verifies only with ``digest`` (slow)."""
    folder.mkdir(parents=True)
    weights, card = folder / "model.safetensors", folder / "README.md"
    header, end = {}, 0
    for key, shape in layout.items():
        start, end = end, end + prod(shape) * _BYTES[dtype]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with weights.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    card.write_text("# hollow\n")
    info = BundleInfo(
        architecture=architecture,
        stage=stage,
        preset="test",
        config_hash="0" * 64,
        dataset_digest=None,
        parent=None,
        code_version="0",
        files={path.name: _digest(path) if digest else "0" * 64 for path in (weights, card)},
    )
    (folder / "bundle.json").write_text(info.model_dump_json())
    return folder


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
