"""The folder of one evaluation: what its clips are, chunks of clips, what was measured, and the report."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from pipelines.evaluate.clips import ClipPair, Pixels, RealClip
from pipelines.evaluate.features.extractor import ChunkFeatures
from pipelines.evaluate.records import EvaluationReport, GeneratedChunk, Identity, MeasuredChunk, Timings
from pipelines.evaluate.report import REPORT

PROTOCOL, TIMINGS = "protocol.json", "timings.json"

T = TypeVar("T")


class EvaluationFolder:
    """The files of one evaluation.

    - ``protocol.json``: what the clips are; a folder belongs to one evaluation.
    - ``chunks/chunk-00000.npz``: keys; real and generated, uint8 [n t h w 3]; ``chunk-00000.json``, written
      last: the clips without pixels, and the digest of the former.
    - ``features/EXTRACTOR/chunk-00000.npz``: real, generated and, from networks that read it, text.
    - ``measured/SET/chunk-00000.json``: the rows of a set of metrics.
    - ``report.json``, and ``timings.json`` with what the report leaves out.
    """

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)

    def require_identity(self, identity: Identity) -> None:
        """Store what the clips are.

        Raises AnimaticError if the folder contains an evaluation of other clips, or a damaged record of it.
        """
        if not self._folder.exists(PROTOCOL):
            self._folder.write(PROTOCOL, canonical_json(identity))
            return
        differing = self._differing(identity)
        if differing:
            raise AnimaticError(
                f"{self._folder} holds an evaluation with another {', '.join(differing)}; "
                "choose another output folder"
            )

    def require_clips_of(self, report: EvaluationReport) -> None:
        """Raise AnimaticError unless the folder has the clips that a report is about."""
        if not self._folder.exists(PROTOCOL):
            raise AnimaticError(
                f"{self._folder} has no clips of the report: name the report in the folder of its evaluation"
            )
        differing = self._differing({"protocol": report["protocol"], "system": report["system"]})
        if differing:
            raise AnimaticError(
                f"the clips in {self._folder} are not those of the report: they have another "
                f"{', '.join(differing)}; name the report in the folder of its own evaluation"
            )

    def writing(self) -> AbstractContextManager[None]:
        """Keep other evaluations out of the folder, and delete what killed writers left.

        Raises AnimaticError if another evaluation is writing to it, or it cannot be created.
        """
        return exclusive_lock(self._folder, "evaluation")

    def has_chunk(self, number: int) -> bool:
        """Whether the clips of a chunk are stored."""
        return self._folder.exists(f"{_stem(number)}.json")

    def write_chunk(self, number: int, real: Sequence[RealClip], generated: Pixels, seconds: float) -> None:
        """Store the clips of a chunk, then the record of it."""
        pixels = np.stack([clip.pixels for clip in real])
        content = _npz(keys=np.array([clip.key for clip in real]), real=pixels, generated=generated)
        self._folder.write(f"{_stem(number)}.npz", content)
        record: GeneratedChunk = {
            "clips": [clip.stored() for clip in real],
            "sha256": hashlib.sha256(content).hexdigest(),
            "seconds": seconds,
        }
        self._folder.write(f"{_stem(number)}.json", canonical_json(record))

    def read_chunk(self, number: int) -> list[ClipPair]:
        """The clips of a chunk. Raises AnimaticError if a file of it is missing or damaged."""
        record, name = self.chunk_record(number), f"{_stem(number)}.npz"
        content = self._read(name)
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise self._damaged(name, f"{_stem(number)}.json")
        with np.load(io.BytesIO(content)) as arrays:
            real, generated = arrays["real"], arrays["generated"]
        return [
            ClipPair(RealClip(**clip, pixels=pixels), made)
            for clip, pixels, made in zip(record["clips"], real, generated, strict=True)
        ]

    def chunk_record(self, number: int) -> GeneratedChunk:
        """The record of a finished chunk. Raises AnimaticError if it is damaged."""
        return self._record(_GENERATED, f"{_stem(number)}.json")

    def has_features(self, extractor: str, number: int) -> bool:
        """Whether the features of a chunk are stored; ``extractor`` is an identity with the file's digest."""
        return self._folder.exists(_features(extractor, number))

    def write_features(self, extractor: str, number: int, features: ChunkFeatures) -> None:
        """Store the features of a chunk."""
        arrays = {"real": features.real, "generated": features.generated}
        if features.text is not None:
            arrays["text"] = features.text
        self._folder.write(_features(extractor, number), _npz(**arrays))

    def read_features(self, extractor: str, number: int) -> ChunkFeatures:
        """The features of a chunk. Raises AnimaticError if the file is missing or damaged."""
        name = _features(extractor, number)
        try:
            with np.load(io.BytesIO(self._read(name))) as arrays:
                text = arrays.get("text")
                return ChunkFeatures(arrays["real"], arrays["generated"], text)
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise self._damaged(name) from error

    def has_measured(self, metrics: str, number: int) -> bool:
        """Whether a chunk was measured; ``metrics`` identifies the set of metrics."""
        return self._folder.exists(_measured(metrics, number))

    def write_measured(self, metrics: str, number: int, measured: MeasuredChunk) -> None:
        """Store the rows of a chunk."""
        self._folder.write(_measured(metrics, number), canonical_json(measured))

    def read_measured(self, metrics: str, number: int) -> MeasuredChunk:
        """The rows of a chunk. Raises AnimaticError if the file is missing or damaged."""
        return self._record(_MEASURED, _measured(metrics, number))

    def write_report(self, content: bytes, timings: Timings) -> None:
        """Store the timings, then the report, unless the same one is stored."""
        if not self._folder.exists(REPORT) or self._folder.read(REPORT) != content:
            self._folder.write(TIMINGS, canonical_json(timings))
            self._folder.write(REPORT, content)

    def _differing(self, identity: Identity) -> list[str]:
        """In what the stored identity differs. Raises AnimaticError if it is missing or damaged."""
        try:
            found = json.loads(self._read(PROTOCOL))
        except ValueError as error:
            raise AnimaticError(
                f"{self._folder}/{PROTOCOL} is damaged ({error}): delete the folder and rerun the evaluation"
            ) from error
        return _differing(found, json.loads(canonical_json(identity)))

    def _record(self, adapter: TypeAdapter[T], name: str) -> T:
        try:
            return adapter.validate_json(self._read(name))
        except ValidationError as error:
            raise self._damaged(name) from error

    def _read(self, name: str) -> bytes:
        try:
            return self._folder.read(name)
        except FileNotFoundError as error:
            raise AnimaticError(f"{self._folder}/{name} is missing: rerun the evaluation") from error

    def _damaged(self, *names: str) -> AnimaticError:
        files = " and ".join(f"{self._folder}/{name}" for name in names)
        return AnimaticError(f"{files} is damaged: delete it and evaluate again")


_GENERATED = TypeAdapter(GeneratedChunk)
_MEASURED = TypeAdapter(MeasuredChunk)


def _differing(found: object, wanted: object, prefix: str = "") -> list[str]:
    """Names of the entries of two JSON objects that differ, dotted."""
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return [prefix.removesuffix(".")]
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if prefix:
        return [f"{prefix}{name}" for name in names]
    return [each for name in names for each in _differing(found.get(name), wanted.get(name), f"{name}.")]


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _stem(number: int) -> str:
    return f"chunks/chunk-{number:05d}"


def _features(extractor: str, number: int) -> str:
    return f"features/{extractor}/chunk-{number:05d}.npz"


def _measured(metrics: str, number: int) -> str:
    return f"measured/{metrics}/chunk-{number:05d}.json"
