"""The folder of one evaluation: its protocol, its chunks of clips, and its report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.evaluate.heldout import RealClip
from pipelines.evaluate.records import ChunkResult, EvaluationProtocol, EvaluationReport

PROTOCOL, REPORT = "protocol.json", "report.json"

_CHUNK_RESULT = TypeAdapter(ChunkResult)


class EvaluationFolder:
    """The files of one evaluation.

    A chunk is finished once its results exist: ``chunk-00000.npz`` (keys; real and generated, uint8
    [n t h w 3]) is written first, ``chunk-00000.json`` last.
    """

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)

    def require_protocol(self, protocol: EvaluationProtocol) -> None:
        """Store the protocol.

        Raises AnimaticError if the folder contains an evaluation with another one, or a damaged record of it.
        """
        if not self._folder.exists(PROTOCOL):
            self._folder.write(PROTOCOL, _finite_json(protocol))
            return
        try:
            found = json.loads(self._folder.read(PROTOCOL))
        except ValueError as error:
            raise AnimaticError(
                f"{self._folder}/{PROTOCOL} is damaged ({error}): delete the folder and rerun the evaluation"
            ) from error
        differing = sorted(name for name in {*protocol, *found} if protocol.get(name) != found.get(name))
        if differing:
            raise AnimaticError(
                f"{self._folder} holds an evaluation with another {', '.join(differing)}; "
                "choose another output folder"
            )

    def has_chunk(self, number: int) -> bool:
        """Whether a chunk is finished."""
        return self._folder.exists(_results_name(number))

    def write_chunk(
        self,
        number: int,
        real: Sequence[RealClip],
        generated: npt.NDArray[np.uint8],
        result: ChunkResult,
    ) -> None:
        """Store the clips of a chunk, then its results."""
        with self._folder.creating(f"{_stem(number)}.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                keys=np.array([clip.key for clip in real]),
                real=np.stack([clip.pixels for clip in real]),
                generated=generated,
            )
        self._folder.write(_results_name(number), _finite_json(result))

    def read_chunk(self, number: int) -> ChunkResult:
        """The results of a finished chunk. Raises AnimaticError if the file is damaged."""
        name = _results_name(number)
        try:
            return _CHUNK_RESULT.validate_json(self._folder.read(name))
        except ValidationError as error:
            raise AnimaticError(f"{self._folder}/{name} is damaged: delete it and evaluate again") from error

    def write_report(self, report: EvaluationReport) -> None:
        """Store the report, unless the same one is stored."""
        content = _finite_json(report)
        if not self._folder.exists(REPORT) or self._folder.read(REPORT) != content:
            self._folder.write(REPORT, content)


def _stem(number: int) -> str:
    return f"chunks/chunk-{number:05d}"


def _results_name(number: int) -> str:
    return f"{_stem(number)}.json"


def _finite_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
