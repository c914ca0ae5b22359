"""The metrics, by name. What each computes is in the docstring of its class.

``REGISTRY`` is in the order of reports.
"""

from collections.abc import Collection, Sequence

from core.errors import AnimaticError
from pipelines.evaluate.metrics.clip_consistency import ClipConsistency
from pipelines.evaluate.metrics.clip_pic import ClipPic
from pipelines.evaluate.metrics.clip_text import ClipText
from pipelines.evaluate.metrics.denoising_loss import DenoisingLoss
from pipelines.evaluate.metrics.direction import DirectionOfMotion, caption_direction
from pipelines.evaluate.metrics.dynamic_degree import DynamicDegree
from pipelines.evaluate.metrics.first_frame_psnr import FirstFramePsnr, psnr
from pipelines.evaluate.metrics.first_frame_ssim import FirstFrameSsim
from pipelines.evaluate.metrics.flicker import Flicker
from pipelines.evaluate.metrics.fvd import Fvd
from pipelines.evaluate.metrics.kvd import Kvd
from pipelines.evaluate.metrics.metric import (
    ClipMetric,
    Column,
    FeatureMetric,
    Metric,
    NetworkMetric,
    Reduced,
    SetMetric,
)
from pipelines.evaluate.metrics.pic import Pic
from pipelines.evaluate.metrics.travel import Travel
from pipelines.evaluate.metrics.videomae_frechet import VideoMaeFrechet
from pipelines.evaluate.metrics.videomae_kernel import VideoMaeKernel
from pipelines.evaluate.motion import Direction, detect_motion

__all__ = [
    "REGISTRY",
    "ClipMetric",
    "Column",
    "Direction",
    "FeatureMetric",
    "Metric",
    "NetworkMetric",
    "Reduced",
    "SetMetric",
    "caption_direction",
    "choose",
    "detect_motion",
    "psnr",
]

REGISTRY: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        FirstFramePsnr(),
        FirstFrameSsim(),
        DynamicDegree(),
        Travel(),
        Flicker(),
        DirectionOfMotion(),
        DenoisingLoss(),
        Fvd(),
        Kvd(),
        VideoMaeFrechet(),
        VideoMaeKernel(),
        Pic(),
        ClipPic(),
        ClipText(),
        ClipConsistency(),
    )
}


def choose(names: Sequence[str] | None, extractors: Collection[str], network: bool) -> list[Metric]:
    """The metrics of these names, in the order of ``REGISTRY``; None: all whose needs are met.

    ``extractors`` are the names of those given, ``network`` is whether the system has one to measure.
    Raises AnimaticError for an unknown name and for a metric that lacks its extractor or network.
    """
    if names is None:
        return [metric for metric in REGISTRY.values() if _lacks(metric, extractors, network) is None]
    for name in names:
        if name not in REGISTRY:
            raise AnimaticError(f"no metric is named {name!r}; there are {', '.join(REGISTRY)}")
        lacking = _lacks(REGISTRY[name], extractors, network)
        if lacking is not None:
            raise AnimaticError(f"metric {name} {lacking}")
    return [metric for name, metric in REGISTRY.items() if name in names]


def _lacks(metric: Metric, extractors: Collection[str], network: bool) -> str | None:
    """What a metric lacks, as the end of a sentence; None if it can be computed."""
    if isinstance(metric, NetworkMetric) and not network:
        return "measures the network of a bundle, and these clips are of another system: leave it out"
    if metric.extractor is not None and metric.extractor not in extractors:
        name = metric.extractor
        return f"needs the extractor {name}: add --extractor {name}=PATH, or leave the metric out"
    return None
