"""Finished evaluations without a network: moving scenes, and clips derived from them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from orchestration.demo.footage import draw_scene, render
from pipelines.evaluate.clips import ClipPair, Pixels, RealClip
from pipelines.evaluate.degenerate import is_black, is_frozen
from pipelines.evaluate.metrics import REGISTRY, ClipMetric, NetworkMetric
from pipelines.evaluate.page import EvaluatedSystem
from pipelines.evaluate.records import ClipRow, Identity, Values
from pipelines.evaluate.report import build_report, digest_of_keys, encode_report
from pipelines.evaluate.storage import EvaluationFolder

CHUNK = 4
Derive = Callable[[Pixels, np.random.Generator], Pixels]


def noisy(real: Pixels, draw: np.random.Generator, amount: float = 20.0) -> Pixels:
    """The real clip with noise."""
    noise = draw.normal(0, amount * draw.random(), real.shape)
    return np.clip(real + noise, 0, 255).astype(np.uint8)


def finished_evaluation(
    folder: Path,
    name: str = "tiny stage 3",
    clips: int = 12,
    derive: Derive = noisy,
    caption: Callable[[str], str] = str,
    key: Callable[[int], str] = "scene-{}".format,
    loss: float = 0.3,
    protocol: str = "held-out",
    per_source: int = 2,
) -> EvaluatedSystem:
    """An evaluation of a system that returns the real clip changed by ``derive``, as the job writes it."""
    draw = np.random.default_rng(len(name))
    pairs = []
    for number in range(clips):
        scene = draw_scene(7, number)
        real = render(scene, size=64)[:8]
        clip = RealClip(key(number), caption(scene.caption), 8.0, real, f"film-{number // per_source}", 3)
        pairs.append(ClipPair(clip, derive(real, draw)))
    rows = [_row(pair, draw, loss) for pair in pairs]
    metrics = [m for m in REGISTRY.values() if isinstance(m, ClipMetric | NetworkMetric)]
    identity = _identity(name, [row["key"] for row in rows], protocol)
    report = build_report(identity, metrics, rows, {}, {})
    stored = EvaluationFolder(folder)
    for start in range(0, clips, CHUNK):
        part = pairs[start : start + CHUNK]
        generated = np.stack([pair.generated for pair in part])
        stored.write_chunk(start // CHUNK, [pair.clip for pair in part], generated, 1.0)
    stored.write_report(encode_report(report), {"generate_s": 1.0, "measure_s": 1.0})
    return EvaluatedSystem(report, folder)


def _row(pair: ClipPair, draw: np.random.Generator, loss: float) -> ClipRow:
    values: Values = {}
    for metric in REGISTRY.values():
        if isinstance(metric, ClipMetric):
            values |= metric.measure(pair)
        elif isinstance(metric, NetworkMetric):
            names = [column.name for column in metric.columns]
            single = loss * (1.2 - np.linspace(0, 1, len(names) - 1)) + draw.normal(0, 0.02, len(names) - 1)
            values |= dict(zip(names, [float(single.mean()), *single.tolist()], strict=True))
    return {
        "key": pair.clip.key,
        "caption": pair.clip.caption,
        "source": pair.clip.source,
        "fps": pair.clip.fps,
        "frozen": is_frozen(pair.generated),
        "black": is_black(pair),
        "metrics": values,
    }


def _identity(name: str, keys: list[str], protocol: str) -> Identity:
    return {
        "protocol": {
            "name": protocol,
            "data": "d" * 64,
            "clips": digest_of_keys(keys),
            "n": len(keys),
            "frames": 8,
            "height": 64,
            "width": 64,
            "stride": 3,
            "seed": 0,
            "condition": "first",
            "prompts": "the caption of the clip",
            "missing": {},
        },
        "system": {
            "kind": "bundle",
            "name": name,
            "digest": digest_of_keys([name]),
            "bundle": digest_of_keys([name]),
            "stage": 3,
            "preset": "tiny",
            "sampling": {"steps": 16, "eta": 0.0, "text_guidance": 1.5, "precision": "float32"},
            "fps_condition": "fps",
            "chunk": CHUNK,
            "predicts": "v:1f0c77a2",
        },
    }
