"""Evaluations without a network: the clips are given, everything after that is the job's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from core.canonical_json import digest_of
from pipelines.evaluate import EvaluateConfig, EvaluationReport, measure_clips
from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.features import identify
from pipelines.evaluate.metrics import choose
from pipelines.evaluate.plan import EvaluationPlan
from pipelines.evaluate.records import ProtocolRecord, SystemRecord
from pipelines.evaluate.report import digest_of_keys
from pipelines.evaluate.storage import EvaluationFolder

CHUNK = 8


class GivenSystem:
    """A system whose clips exist already."""

    def __init__(self, record: SystemRecord) -> None:
        self.record = record


def protocol_of(pairs: Sequence[ClipPair], **changes: object) -> ProtocolRecord:
    """The protocol of these clips."""
    frames, height, width, _ = pairs[0].real.shape
    keys = [pair.clip.key for pair in pairs]
    record: dict[str, object] = {
        "name": "held-out",
        "data": digest_of(sorted([pair.clip.key, pair.clip.caption] for pair in pairs)),
        "clips": digest_of_keys(keys),
        "n": len(keys),
        "frames": frames,
        "height": height,
        "width": width,
        "stride": 1,
        "seed": 0,
        "condition": "first",
        "prompts": "the clip's caption",
        "missing": {},
    }
    return cast(ProtocolRecord, {**record, **changes})


def system_of(**changes: object) -> SystemRecord:
    """A bundle's record."""
    sampling = {"steps": 25, "text_guidance": 4.0, "image_guidance": None}
    record: dict[str, object] = {
        "kind": "bundle",
        "name": "tiny stage 3",
        "digest": "b" * 64,
        "stage": 3,
        "preset": "tiny",
        "sampling": sampling,
        "fps_condition": "fps",
        "chunk": CHUNK,
    }
    return cast(SystemRecord, {**record, **changes})


def plan_of(
    folder: Path,
    pairs: Sequence[ClipPair],
    system: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = None,
    extractors: Mapping[str, str] | None = None,
    **protocol: object,
) -> EvaluationPlan:
    """A plan whose clips are stored: measuring is what remains. Default: every metric whose needs are met."""
    evaluation = EvaluationFolder(folder)
    files = identify(extractors or {})
    config = EvaluateConfig(data="held-out", output=folder, workers=0, chunk=CHUNK)
    plan = EvaluationPlan(
        system=cast(Any, GivenSystem(system_of(**(system or {})))),
        config=config,
        protocol=protocol_of(pairs, **protocol),
        clips=list(range(len(pairs))),
        metrics=[metric.name for metric in choose(metrics, files, network=False)],
        extractors=files,
    )
    evaluation.require_identity(plan.identity)
    for number, clips in enumerate(plan.chunks):
        chosen = [pairs[clip] for clip in clips]
        generated = np.stack([pair.generated for pair in chosen])
        evaluation.write_chunk(number, [pair.clip for pair in chosen], generated, seconds=1.0)
    return plan


def write_report(
    folder: Path,
    pairs: Sequence[ClipPair],
    system: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = None,
    extractors: Mapping[str, str] | None = None,
    **protocol: object,
) -> EvaluationReport:
    """Measure these clips: ``folder`` is as the job leaves it, ``report.json`` included."""
    return measure_clips(plan_of(folder, pairs, system, metrics, extractors, **protocol))
