"""VBench's result files → one typed record beside a report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from core.errors import AnimaticError
from core.files import create_folder, sha256, write_text
from pipelines.evaluate.vbench.scores import DIMENSIONS, DimensionScore, Totals, dimension_scores, totals

RECORD = "vbench.json"
# Computed by VBench on request, and not part of its totals for image to video.
_UNWEIGHTED = frozenset({"temporal_flickering"})
# Scores are means of values from 0 to 1, summed in floating point.
_ROUNDING = 1e-6

_RESULTS = TypeAdapter(dict[str, list[JsonValue]])


class VBenchRecord(TypedDict):
    """``vbench.json``: ``files`` are the result files' digests by name, ``missing`` the dimensions without a
    score, ``unweighted`` raw scores that no total contains."""

    format: Literal[1]
    files: dict[str, str]
    dimensions: dict[str, DimensionScore]
    unweighted: dict[str, float]
    missing: list[str]
    totals: Totals


def write_results(record: VBenchRecord, folder: Path) -> Path:
    """Store a record as ``vbench.json`` in a folder; returns the file."""
    create_folder(folder)
    path = folder / RECORD
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def import_results(paths: Sequence[Path]) -> VBenchRecord:
    """Read the ``…_eval_results.json`` of one or several runs of VBench-I2V, of different dimensions.

    Raises AnimaticError for a file that is none, an unknown dimension, one that two files contain, or a score
    that is not from 0 to 1.
    """
    raw: dict[str, float] = {}
    for path in paths:
        for name, score in _scores_in(path).items():
            if name in raw:
                raise AnimaticError(f"{path} contains {name}, as another file does: pass one of them")
            raw[name] = score
    scores = dimension_scores(raw)
    return {
        "format": 1,
        "files": {path.name: sha256(path) for path in paths},
        "dimensions": scores,
        "unweighted": {name: score for name, score in sorted(raw.items()) if name in _UNWEIGHTED},
        "missing": [name for name in DIMENSIONS if name not in scores],
        "totals": totals(scores),
    }


def _scores_in(path: Path) -> dict[str, float]:
    """By dimension the first item of its result, the mean over all videos."""
    try:
        results = _RESULTS.validate_json(path.read_bytes())
    except OSError as error:
        raise AnimaticError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise AnimaticError(
            f"{path} is not a result of VBench: pass the ..._eval_results.json that evaluate_i2v.py writes"
        ) from error
    return {name: _score(path, name, result) for name, result in results.items()}


def _score(path: Path, name: str, result: list[JsonValue]) -> float:
    if name not in DIMENSIONS and name not in _UNWEIGHTED:
        raise AnimaticError(
            f"{path}: {name[:80]!r} is not a dimension of VBench-I2V ({', '.join(DIMENSIONS)})"
        )
    score = result[0] if result else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise AnimaticError(f"{path}: the score of {name} is not a number")
    if not -_ROUNDING <= score <= 1 + _ROUNDING:
        raise AnimaticError(
            f"{path}: the score of {name} is {score:g}, not from 0 to 1: VBench of another version"
        )
    return float(score)
